// What a node says stays on it: after a reload and a run from the cache, all of it at the node's own size, and on the
// outside of a subgraph too. The host shows such a text, and forgets it with the page.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { forEachNode, makeRoom, nodesOf, OWN } from "./nodes.js";

const STORE = "AnimateLCM.texts", MOST = 200;
const WIDGET = "$$node-text-preview";
const LINE = 16, MARGINS = 40, CHARACTER = 6;

const isOwn = (node) => String(node?.comfyClass ?? node?.type).startsWith(OWN);

/** Return the texts by graph and node. They are kept beside the graph: in it, they would count as a change of it. */
function kept() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? {};
  } catch {
    return {};
  }
}

const keyOf = (executionId) => `${(app.rootGraph ?? app.graph).id}/${executionId}`;

function keep(executionId, text) {
  const texts = kept();
  delete texts[keyOf(executionId)];
  texts[keyOf(executionId)] = text;
  try {
    localStorage.setItem(STORE, JSON.stringify(Object.fromEntries(Object.entries(texts).slice(-MOST))));
  } catch {
    // The browser keeps nothing for this page, or no more.
  }
}

/** Let the host show a text on a node of the graph that is open. */
function show(executionId, text) {
  api.dispatchEvent(new CustomEvent("progress_text", { detail: { nodeId: executionId, text, again: true } }));
}

/** Return the height that a text needs on the classic canvas, which has room for two lines. */
function heightOf(text, node) {
  const perLine = Math.max(1, Math.floor((node.size[0] - 2 * MARGINS) / CHARACTER));
  const lines = text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / perLine)), 0);
  return lines * LINE + MARGINS;
}

app.registerExtension({
  name: "AnimateLCM.Texts",
  setup() {
    api.addEventListener("progress_text", ({ detail: { nodeId, text, again } }) => {
      const nodes = nodesOf(nodeId);
      const node = nodes.at(-1);
      if (again ? !node : !isOwn(node)) return;
      if (!again) {
        keep(nodeId, text);
        if (nodes.length > 1) show(String(nodes[0].id), text);
      }
      // The host adds its text when it hears of the same event, which may be after this.
      requestAnimationFrame(() => {
        const widget = node.widgets?.find((one) => one.name === WIDGET);
        if (widget) makeRoom(node, widget, heightOf(text, node));
      });
    });
  },
  afterConfigureGraph() {
    requestAnimationFrame(() => {
      const texts = kept();
      forEachNode((node, id) => {
        const text = isOwn(node) && texts[keyOf(id)];
        if (!text) return;
        show(id, text);
        if (id.includes(":")) show(id.split(":")[0], text);
      });
    });
  },
});

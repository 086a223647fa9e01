// A preview that moves. The server sends each step's clip as the host sends previews, as one animated PNG. Nodes 2.0 and
// app mode play it by themselves. The classic canvas draws pictures, and would draw the first frame alone: it is asked
// here to show the clip as it shows animated results.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { makeRoom, nodesOf } from "./nodes.js";

const HEIGHT = 220, LOADED = 300;

/** Let the classic canvas take a node's previews for moving ones, or as they are again. */
function setMoving(node, moves) {
  // The canvas works this out anew for each preview, from results that a sampler does not have.
  if (moves) Object.defineProperty(node, "animatedImages", { configurable: true, get: () => true, set() {} });
  else delete node.animatedImages;
}

/** Give the clip on a node of the classic canvas, once it is loaded, the height that the host gives a picture there. */
function enlarge(node) {
  const widget = node.widgets?.find((one) => one.element?.contains?.(node.imgs?.[0]));
  if (widget) makeRoom(node, widget, HEIGHT);
}

app.registerExtension({
  name: "AnimateLCM.Preview",
  settings: [{
    id: "AnimateLCM.Preview",
    name: "Show the whole clip while it is sampled",
    tooltip: "Off leaves it to ComfyUI's own setting, Live preview method, which shows the first frame.",
    type: "boolean",
    defaultValue: true,
  }],
  setup() {
    api.addEventListener("b_preview_with_metadata", ({ detail }) => {
      if (globalThis.LiteGraph?.vueNodesMode) return;
      // The host's own previews are JPEG.
      const moves = detail.blob?.type === "image/png";
      for (const node of nodesOf(detail.displayNodeId)) {
        setMoving(node, moves);
        if (moves) setTimeout(() => enlarge(node), LOADED);
      }
    });
  },
});

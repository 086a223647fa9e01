// When a run fails in this pack, the sentence that says why and what to do is shown, beside the host's toast, which says
// of every error that a node threw one.

import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { nodesOf } from "./nodes.js";

const PACK = decodeURIComponent(new URL(import.meta.url).pathname.split("/").at(-2));

/** Say whether an error was raised by this pack: the last file that the traceback names is one of its. */
function isOwn(traceback) {
  const last = (traceback ?? []).join("\n").split("\n").filter((line) => /^\s*File "/.test(line)).at(-1) ?? "";
  return last.replaceAll("\\", "/").includes(`/custom_nodes/${PACK}/`);
}

app.registerExtension({
  name: "AnimateLCM.Errors",
  setup() {
    api.addEventListener("execution_error", ({ detail }) => {
      if (!isOwn(detail.traceback)) return;
      const title = nodesOf(detail.node_id).at(-1)?.title ?? detail.node_type;
      app.extensionManager?.toast?.add({
        severity: "error", summary: title, detail: detail.exception_message.trim(), life: 30000 });
    });
  },
});

// The demo model's files come last in every list of files, so that the default is one of the user's own. They are listed
// by the host's loaders too, which sort by name.

import { app } from "../../scripts/app.js";

const DEMO = /(^|[\\/])AnimateLCM_demo_|^demo \(embedded\)$/;

/** Put the demo's files last in a list of files; return whether anything has moved. */
function demoLast(names) {
  if (!Array.isArray(names) || !names.some((name) => DEMO.test(name))) return false;
  const sorted = [...names.filter((name) => !DEMO.test(name)), ...names.filter((name) => DEMO.test(name))];
  const moved = sorted.some((name, place) => name !== names[place]);
  names.splice(0, names.length, ...sorted);
  return moved;
}

/** Do so in the descriptions of all nodes, as the server gives them. */
function sortLists(definitions) {
  for (const { input } of Object.values(definitions)) {
    for (const socket of [...Object.values(input?.required ?? {}), ...Object.values(input?.optional ?? {})]) {
      const [kind, options] = Array.isArray(socket) ? socket : [];
      const names = Array.isArray(kind) ? kind : options?.options;
      // A default that the list's order alone has decided goes with it.
      if (demoLast(names) && options && DEMO.test(options.default ?? "")) options.default = names[0];
    }
  }
}

app.registerExtension({
  name: "AnimateLCM.Lists",
  addCustomNodeDefs: sortLists,
  refreshComboInNodes: sortLists,
});

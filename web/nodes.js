// Nodes of the graph on the page, by the ids that a run has for them.

import { app } from "../../scripts/app.js";

export const OWN = "AnimateLCM_";

/** Return the nodes that an id names, outermost first: "12:3" is node 3 in the subgraph that node 12 stands for. */
export function nodesOf(executionId) {
  const found = [];
  let graph = app.rootGraph ?? app.graph;
  for (const part of String(executionId).split(":")) {
    const node = graph?.getNodeById(Number(part));
    if (!node) return [];
    found.push(node);
    graph = node.subgraph;
  }
  return found;
}

/** Call back with each node of a graph and of its subgraphs, and with its id in a run. */
export function forEachNode(callback, graph = app.rootGraph ?? app.graph, before = "") {
  for (const node of graph?.nodes ?? []) {
    const id = `${before}${node.id}`;
    callback(node, id);
    if (node.subgraph) forEachNode(callback, node.subgraph, `${id}:`);
  }
}

/** Give a widget at least a height on the classic canvas, and let the node grow for it; Nodes 2.0 does so by itself. */
export function makeRoom(node, widget, height) {
  if (globalThis.LiteGraph?.vueNodesMode) return;
  widget.options.getMinHeight = () => height;
  const needed = node.computeSize();
  if (needed[1] > node.size[1]) node.setSize([node.size[0], needed[1]]);
  node.setDirtyCanvas?.(true, true);
}

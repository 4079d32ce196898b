r"""The parts of a graph that reach the targets, and sampling on these parts alone.

Keep these invariants:

* The plan depends on the graph, the targets and the number of hops alone, for votes depend on it.
* Noise is drawn as for the whole graph: a node is selected as if all nodes were there.
* Ghost nodes complete the degrees at a boundary. Their features reach no target. Where messages are
  ablated there are none: the degrees depend on which senders are silent.
* ``num_hops`` is tried on the model before votes or receptive fields depend on it.
"""

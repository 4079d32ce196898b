r"""What casts votes: a model, its noise, and streams of random numbers.

Keep these invariants:

* A vote depends on the objects, the seed and the number of its sample alone: not on the block, the
  worker or the rank that computes it, nor on what was sampled before.
* Every shortcut has a plain path, which an audit can compute: written-out features, the graph as
  given, one copy at a time, a copy of the model that was never called. A counted vote equals that
  of the plain path, but for ties to rounding.
* No sample is left out or drawn again because of what a model answered: that would bias the votes.
"""

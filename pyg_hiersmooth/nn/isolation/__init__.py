r"""A private copy of the model, and the trials that its votes are one fixed function of the noise.

Keep these invariants:

* Votes come from a private copy, which shares no tensor, cache or state with the user's model.
* What goes from one call to the next depends on the graph's own edges, weights and the seed alone,
  never on features: caches are keyed by the identity of these objects.
* Every call has a seed, which is given to all global generators.
* Two ways to call a model are compared by :func:`~pyg_hiersmooth.nn.isolation.logits.logits_match`,
  in the highest precision that the model takes, and nowhere else.
* A trial that fails leads to the plain way, or to a refusal that names the cause.
"""

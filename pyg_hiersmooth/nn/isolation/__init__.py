r"""A private copy of the model, and the trials that its votes are one fixed function of the noise.

Keep these invariants:

* Votes come from a private copy, which shares no tensor, cache or state with the user's model.
* What goes from one call to the next depends on the graph's own edges, weights and the seed alone,
  never on features: caches are keyed by the identity of these objects.
* Every call has a seed, which is given to all global generators.
* Two ways to call a model are compared by :func:`~pyg_hiersmooth.nn.isolation.logits.logits_match`,
  in the highest precision that the model takes, and nowhere else.
* A trial that fails leads to the plain way, or to a refusal that names the cause.

Models are inspected (``held_features``, ``held_edges``, ``model_state`` with ``function_reach`` and
``scripted``) and replayed (``determinism`` before sampling, the audit after it), for each finds
what the other cannot. With the inspection off, 39 of 1,211 tests in ``tests/seam`` fail, for models
are accepted that hold clean features or edges, call the user's own model, or keep state that shows
late. State in globals, classes and modules is shared by a pristine copy: a replay of all 1,500
samples accepted 2,892 wrong votes of 30,000. With the replay off, 26 of 517 tests in 15 files fail:
randomness that no seed reaches, calls counted in a file, blocks that rarely go wrong, and features
that make no difference.
"""

r"""A search in a file, which continues where it was stopped."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from pyg_hiersmooth.experiment.settings import differences

if TYPE_CHECKING:
    import optuna


def stored_search(storage: str | os.PathLike[str] | None, settings: dict[str, Any]) -> optuna.Study:
    r"""The search in a file, or a new one.

    Args:
        storage (str or os.PathLike, optional): The file; :obj:`None` keeps nothing.
        settings (dict): What determines the search, by name.

    Raises:
        ValueError: If the file holds another search or something else.
        OSError: If it cannot be read or written.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    journal = None
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        if storage is not None:
            _check_journal(storage)
            journal = JournalStorage(JournalFileBackend(os.fspath(storage)))
        study = optuna.create_study(
            storage=journal, study_name="tuning", load_if_exists=True, direction="maximize"
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"storage '{storage}' is damaged or not the file of a search: {error}"
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)
    # Without a trial that finished, there is nothing to mix with this search.
    kept = study.user_attrs.get("settings", {}) if num_finished(study) else settings
    differing = differences(kept, settings)
    if differing:
        raise ValueError(
            f"storage '{storage}' holds a search with another {', '.join(map(repr, differing))}: "
            "choose another file"
        )
    study.set_user_attr("settings", settings)
    return study


def _check_journal(storage: str | os.PathLike[str]) -> None:
    r"""Refuses a file that is not Optuna's, which it would write to before it noticed."""
    if not os.path.exists(storage):
        return
    with open(storage, encoding="utf-8") as file:
        for line in file:
            if not line.endswith("\n") or "op_code" not in json.loads(line):
                raise ValueError(f"it has the line {line[:40]!r}")


def num_finished(study: optuna.Study) -> int:
    r"""The number of trials that came to an end."""
    return sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False))

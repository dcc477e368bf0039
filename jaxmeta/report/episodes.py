"""Single tasks as people see them: what was shown, what was asked, what was said, and whether it is right."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxmeta import control, criteria, recipes, spans, symbols
from jaxmeta.criteria import strings
from jaxmeta.report import curves, explained, policies, style
from jaxmeta.report.figure import Figure
from jaxmeta.report.probes import WHICH, Probe, chosen

_SUPPORT, _QUERIES, _CLASSES = 2, 4, 8  # pictures of a class, and classes
_LINES, _CELLS, _WORDS = 6, 12, 12  # sentences, columns of a row, and words that are shown


def makers(probe: Probe) -> list[Callable[[], Figure | list[Figure] | str]]:
    """What draws single tasks, in the way of their form."""
    draw = {
        "pictures": pictures, "texts": texts, "rows": explained.rows, "functions": curves.curves, "policies": walks,
        "strings": words, "tokens": tagged,
    }  # fmt: skip
    return [functools.partial(pictures_of_episodes, draw, probe)]


def pictures_of_episodes(draw: dict[str, Callable[[Probe], list[Figure] | str]], probe: Probe) -> list[Figure] | str:
    """The tasks in the middle and at the lower end of the scores."""
    return draw[probe.shown.form](probe)


def _answers(probe: Probe, task: int) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Names of classes, and of each query what it is, what is said, and with which probability."""
    shares, targets = probe.outputs[task], np.asarray(probe.episodes.query.targets[task])
    return probe.class_names(task), targets, shares.argmax(-1), shares.max(-1)


def _table(names: list[str], targets: np.ndarray, said: np.ndarray, shares: np.ndarray) -> list[list[str | float]]:
    return [
        [
            index + 1,
            names[int(target)],
            names[int(own)],
            round(100 * float(share), 1),
            "right" if own == target else "wrong",
        ]
        for index, (target, own, share) in enumerate(zip(targets, said, shares, strict=True))
    ]


_HEADER = ("query", "is", "taken for", "probability in %", "answer")


# Pictures


def raw_pictures(probe: Probe, task: int) -> tuple[np.ndarray, np.ndarray]:
    """Support and query pictures of a task, floats in [0, 1] or uint8."""
    if probe.numbers is None or probe.shown.examples is None:
        return np.asarray(probe.episodes.support.inputs[task]), np.asarray(probe.episodes.query.inputs[task])
    inputs = probe.shown.examples.inputs
    return inputs[np.asarray(probe.numbers.support.inputs[task])], inputs[np.asarray(probe.numbers.query.inputs[task])]


def faces(probe: Probe, task: int) -> list[np.ndarray]:
    """A support picture of each class of a task; none where the kind has no pictures."""
    if probe.shown.form != "pictures":
        return []
    support, _ = raw_pictures(probe, task)
    owners = np.asarray(probe.episodes.support.targets[task])[: len(support)]
    return [support[int((owners == way).argmax())] for way in range(probe.sizes.ways)]


def pictures(probe: Probe) -> list[Figure]:
    """Support, queries, and what they are taken for."""
    made = []
    for which, task in chosen(probe.right.mean(axis=1)).items():
        names, targets, said, shares = _answers(probe, task)
        support, queries = raw_pictures(probe, task)
        owners = np.asarray(probe.episodes.support.targets[task])[: len(support)]
        sheet = Sheet(names, support, owners, queries, targets, said, shares)
        right = int((said == targets).sum())
        shown = min(len(names), _CLASSES)
        alt = (
            f"{WHICH[which]} task of {probe.name}: {right} of {len(targets)} queries right. Classes: "
            f"{', '.join(names[:shown])}. {_worst(names, targets, said, shares)}"
        )
        note = (
            f"A row a class; left of the line up to {_SUPPORT} of its support pictures, right of it its first "
            f"{_QUERIES} queries with the probability of what is said. Wrong ones have a cross, a thick frame, and the "
            "name they were given."
        )
        made.append(
            Figure(f"episode-{which}", f"{WHICH[which]} task", functools.partial(drawn_pictures, sheet), alt, _HEADER,
                   _table(names, targets, said, shares), note)
        )  # fmt: skip
    return made


def _worst(names: Sequence[str], targets: np.ndarray, said: np.ndarray, shares: np.ndarray) -> str:
    wrong = np.flatnonzero(said != targets)
    if not len(wrong):
        return "None is wrong."
    index = wrong[shares[wrong].argmax()]
    true, own = names[int(targets[index])], names[int(said[index])]
    return f"Surest error: {true} taken for {own} at {100 * shares[index]:.0f}%."


@dataclasses.dataclass(frozen=True)
class Sheet:
    """What a picture of a task of pictures shows."""

    names: Sequence[str]
    support: np.ndarray
    owners: np.ndarray
    queries: np.ndarray
    targets: np.ndarray
    said: np.ndarray
    shares: np.ndarray


@style.styled
def drawn_pictures(sheet: Sheet) -> Any:
    """A row of pictures for each class."""
    ways = min(len(sheet.names), _CLASSES)
    shown = min(_SUPPORT, int(np.bincount(sheet.owners, minlength=ways)[:ways].max()))
    asked = min(_QUERIES, int(np.bincount(sheet.targets, minlength=ways)[:ways].max()))
    figure = style.sheet(0.35 + 0.95 * ways)
    ratios = [1.0] * shown + [0.12] + [1.0] * asked
    panels = figure.subplots(ways, shown + 1 + asked, squeeze=False, width_ratios=ratios)
    for line, way in zip(panels, range(ways), strict=True):
        for panel in line:
            panel.set_axis_off()
        for panel, index in zip(line[:shown], np.flatnonzero(sheet.owners == way), strict=False):
            pixels(panel, sheet.support[index])
        line[0].set_title(style.plain(sheet.names[way], 18), fontsize=8.5, pad=3)
        line[shown].axvline(0.5, color=style.SOFT, linewidth=1)
        for panel, index in zip(line[shown + 1 :], np.flatnonzero(sheet.targets == way), strict=False):
            pixels(panel, sheet.queries[index])
            share, own = f"{100 * sheet.shares[index]:.0f}%", sheet.said[index]
            if own == way:
                panel.set_title(f"✓ {share}", fontsize=8, color=style.RIGHT, loc="center", pad=2)
                continue
            name = style.wrapped(sheet.names[own], 9, 1)
            panel.set_title(f"✗ {share}\n{name}", fontsize=8, color=style.WRONG, loc="center", pad=2)
            panel.set_axis_on()
            panel.set_xticks([])
            panel.set_yticks([])
            for side in panel.spines.values():
                side.set(visible=True, color=style.WRONG, linewidth=2.5)
    return figure


def pixels(panel: Any, picture: np.ndarray) -> None:
    """A picture in [0, 1] or of uint8, grey or in colors."""
    scaled = np.clip(picture / 255 if picture.dtype == np.uint8 else picture, 0, 1)
    panel.imshow(scaled.squeeze(-1) if scaled.shape[-1] == 1 else scaled, cmap="gray", vmin=0, vmax=1)


# Texts


def texts(probe: Probe) -> list[Figure]:
    """Sentences, what they are taken for, and the support sentence that lies nearest."""
    made = []
    for which, task in chosen(probe.right.mean(axis=1)).items():
        names, targets, said, shares = _answers(probe, task)
        assert probe.numbers is not None
        assert probe.shown.examples is not None
        inputs = probe.shown.examples.inputs
        support = inputs[np.asarray(probe.numbers.support.inputs[task])].tolist()
        queries = inputs[np.asarray(probe.numbers.query.inputs[task])].tolist()
        near = nearest(
            np.asarray(probe.episodes.query.inputs[task]),
            np.asarray(probe.episodes.support.inputs[task])[: len(support)],
        )
        owners = np.asarray(probe.episodes.support.targets[task])
        table = [
            [*line, queries[index], support[near[index]], names[owners[near[index]]]]
            for index, line in enumerate(_table(names, targets, said, shares))
        ]
        header = (*_HEADER, "sentence", "nearest support sentence", "which is")
        right = int((said == targets).sum())
        alt = (
            f"{WHICH[which]} task of {probe.name}: {right} of {len(targets)} sentences right. Classes: "
            f"{', '.join(names[:20])}. {_worst(names, targets, said, shares)}"
        )
        mixed = mingled(table)
        wrong = [line for line in mixed if line[4] == "wrong"]
        some = [*wrong[: _LINES // 2], *(line for line in mixed if line[4] == "right")][:_LINES]
        note = "Up to three wrong and three right answers; nearest: by the angle between what the network is given."
        draw = functools.partial(drawn_texts, names, some)
        made.append(Figure(f"episode-{which}", f"{WHICH[which]} task", draw, alt, header, table, note))
    return made


def mingled(table: Sequence[list[Any]]) -> list[list[Any]]:
    """Lines of a table of answers, the first of each class before the second of any."""
    seen: dict[tuple[str, str], int] = {}
    places = []
    for line in table:
        key = line[1], line[4]
        places.append(seen.get(key, 0))
        seen[key] = places[-1] + 1
    return [table[int(index)] for index in np.argsort(places, kind="stable")]


def nearest(queries: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Of each query [n, d] the support row [m, d] at the smallest angle."""
    unit = [rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in (queries, support)]
    return (unit[0] @ unit[1].T).argmax(axis=1)


@style.styled
def drawn_texts(names: Sequence[str], lines: Sequence[Sequence[Any]]) -> Any:
    """Sentences with answers, one below the other."""
    parts: list[tuple[str, dict[str, Any]]] = [
        (style.wrapped(f"classes: {', '.join(names)}", 58, 3), {"color": style.SOFT})
    ]
    for line in lines:
        _, true, own, share, answer, sentence, near, owner = line
        color, mark = (style.RIGHT, "✓") if answer == "right" else (style.WRONG, "✗")
        verdict = f"{mark} {own} {share:.0f}%" + ("" if answer == "right" else f", is {true}")
        parts += [
            ("", {}), (style.wrapped(sentence, 56, 3), {}),
            (style.wrapped(verdict, 54), {"color": color, "fontweight": "bold"}),
            (style.wrapped(f"nearest: {near} ({owner})", 56), {"color": style.SOFT}),
        ]  # fmt: skip
    return _lines_of(parts)


def _lines_of(parts: Sequence[tuple[str, dict[str, Any]]]) -> Any:
    """Texts of one or more lines, one below the other."""
    counts = [0.5 if not text else 1 + text.count("\n") for text, _ in parts]
    figure = style.sheet(0.2 + 0.165 * sum(counts))
    panel = figure.subplots()
    panel.set_axis_off()
    panel.set_xlim(0, 1)
    panel.set_ylim(sum(counts), 0)
    place = 0.0
    for (text, look), count in zip(parts, counts, strict=True):
        panel.text(0, place, text, va="top", linespacing=1.25, fontsize=8.5, **look)
        place += count
    return figure


# Policies


def walks(probe: Probe) -> list[Figure] | str:
    """What policies do before and after adaptation."""
    entry, count = probe.run.recipe.entry, min(3, probe.num_tasks)
    steps = sorted({entry.fewest_steps, 1, probe.steps}) if entry.has_steps else [probe.steps]
    few = jax.tree.map(lambda leaf: leaf[:count], probe.test.episodes)
    found = policies.rollouts(
        lambda number: probe.run.learner(inner_steps=number), probe.run.meta_params, few, jax.random.key(0), steps
    )
    returns = [
        [task + 1, number, round(float(control.episode_return(own)), 3)]
        for task, (_, rolled) in enumerate(found) for number, own in rolled.items()
    ]  # fmt: skip
    places = found[0][0].rules.name in ("navigation", "arm")
    means = {number: float(np.mean([line[2] for line in returns if line[1] == number])) for number in steps}
    told = ", ".join(f"{mean:.1f} after {number} steps" for number, mean in means.items())
    alt = f"Policies in the first {count} test tasks of {probe.name}: mean return {told}."
    note = (
        "Five trajectories after each number of inner steps; the star, which no policy is told, is where it should go."
        if places else "Mean reward of the trajectories over time, after each number of inner steps."
    )  # fmt: skip
    draw = functools.partial(policies.trajectories if places else policies.rewards, found)
    return [Figure("episode-trajectories", "Before and after adaptation", draw, alt,
                   ("task", "inner steps", "return"), returns, note)]  # fmt: skip


# Strings


def words(probe: Probe) -> list[Figure] | str:
    """Words, what is said of them, and what should be."""
    known = probe.shown.alphabet
    if known is None:
        return "Pictures of episodes: the strings have no alphabet."
    targets = np.asarray(probe.episodes.query.targets)
    longest = targets.shape[-1] - 1
    letters = ("", *known.letters)
    spelled = lambda row: "".join(letters[number] for number in row[:longest] if number < len(letters))  # noqa: E731
    told = lambda rows: [" ".join(each) for each in symbols.decoded(np.maximum(rows, 0), known.symbols)]  # noqa: E731
    said_and_right = jnp.asarray(probe.outputs), jnp.asarray(targets)
    lengths = map(jax.vmap(strings.length), said_and_right)
    apart = np.asarray(jax.vmap(jax.vmap(criteria.edit_distance))(*said_and_right, *lengths))
    made = []
    for which, task in chosen(-apart.mean(axis=1)).items():
        inputs = np.asarray(probe.episodes.query.inputs[task]).astype(int)
        support = np.asarray(probe.episodes.support.inputs[task]).astype(int)
        said, true = told(probe.outputs[task]), told(targets[task])
        table = [
            [spelled(row), own or "(nothing)", should, int(wrong), "right" if own == should else "wrong"]
            for row, own, should, wrong in zip(inputs, said, true, apart[task], strict=True)
        ]
        right = sum(line[-1] == "right" for line in table)
        shown = [f"{spelled(row)} → {pronounced}" for row, pronounced in
                 zip(support[:4], told(np.asarray(probe.episodes.support.targets[task])[:4]), strict=True)]  # fmt: skip
        alt = (
            f"{WHICH[which]} task of {probe.name}: {right} of {len(table)} words right, {np.mean(apart[task]):.2f} "
            f"symbols wrong a word. First: {table[0][0]}, said {table[0][1]}, is {table[0][2]}."
        )
        note = f"The first {min(_WORDS, len(table))} words that are asked; below, some of those that were shown."
        draw = functools.partial(drawn_words, table[:_WORDS], shown)
        header = ("word", "said", "is", "symbols apart", "answer")
        made.append(Figure(f"episode-{which}", f"{WHICH[which]} task", draw, alt, header, table, note))
    return made


@style.styled
def drawn_words(lines: Sequence[Sequence[Any]], shown: Sequence[str]) -> Any:
    """Words with answers, one below the other."""
    parts: list[tuple[str, dict[str, Any]]] = []
    for word, said, true, _, answer in lines:
        is_right = answer == "right"
        text = f"{'✓' if is_right else '✗'} {word} → {said}" + ("" if is_right else f"  (is {true})")
        parts.append((style.wrapped(text, 58), {"color": style.RIGHT if is_right else style.WRONG}))
    parts += [("", {}), ("shown:", {"color": style.SOFT})]
    return _lines_of([*parts, *((style.plain(text, 58), {"color": style.SOFT}) for text in shown)])


# Words with tags


def tagged(probe: Probe) -> list[Figure]:
    """Sentences with the mentions that are there and those that are found."""
    found = [_tags(probe, task) for task in range(probe.num_tasks)]
    scores = np.array([spans.score(*zip(*((true, said) for _, true, said in own), strict=True)).f1 for own in found])
    made = []
    for which, task in chosen(scores).items():
        table: list[list[str | float]] = []
        for number, (sentence, true, said) in enumerate(found[task], 1):
            right, own = set(spans.spans(true)), set(spans.spans(said))
            for span in sorted(right | own, key=lambda span: span[1:]):
                answer = "right" if span in right & own else "missed" if span in right else "not there"
                mention = " ".join(sentence[span.start : span.stop])
                table.append([number, mention, span.type, answer, " ".join(sentence)])
        counts = {answer: sum(line[3] == answer for line in table) for answer in ("right", "missed", "not there")}
        alt = (
            f"{WHICH[which]} task of {probe.name}: F1 {100 * scores[task]:.0f}%; of the mentions {counts['right']} are "
            f"found, {counts['missed']} missed, {counts['not there']} said that are not there."
        )
        note = f"The first {min(_LINES, len(found[task]))} sentences that are asked; a mention is right if its type "
        note += "and both ends are."
        draw = functools.partial(drawn_tags, found[task][:_LINES])
        header = ("sentence", "mention", "type", "answer", "text")
        made.append(Figure(f"episode-{which}", f"{WHICH[which]} task", draw, alt, header, table, note))
    return made


Tagged = tuple[list[str], list[str], list[str]]


def _tags(probe: Probe, task: int) -> list[Tagged]:
    """Of each query its words, their tags, and the tags that are said; what is of no type of the task is no mention."""
    assert probe.numbers is not None
    labels, rows = ["O"] * (probe.sizes.ways + 1), []
    for numbers, batch in zip(probe.numbers, probe.episodes, strict=True):
        targets = batch.targets.classes if isinstance(batch.targets, criteria.Tagging) else batch.targets
        rows = [probe.shown.sentences[number] for number in np.asarray(numbers.inputs[task])]
        real = np.asarray(batch.mask[task])
        for row, sentence in enumerate(rows):
            for place in np.flatnonzero(
                real[row][: len(sentence)] & (np.asarray(targets[task][row]) > 0)[: len(sentence)]
            ):
                labels[int(targets[task][row][place])] = sentence[place][1].partition("-")[2]
    nothing = np.eye(len(labels))[0]
    made = []
    for row, sentence in enumerate(rows):
        real = np.asarray(probe.episodes.query.mask[task][row])[:, None]
        words = [word for word, _ in sentence]
        outputs = np.where(real, probe.outputs[task][row], nothing)[None]
        said = recipes.kind(probe.task).answers(["\t".join(["1", *words])], labels, outputs).said
        true = [tag if tag.partition("-")[2] in labels else "O" for _, tag in sentence]
        made.append((words, true, said))
    return made


@style.styled
def drawn_tags(lines: Sequence[Tagged]) -> Any:
    """Sentences with their mentions, one below the other."""
    parts: list[tuple[str, dict[str, Any]]] = []
    for sentence, true, said in lines:
        parts += [("", {}), (style.wrapped(" ".join(sentence), 56, 3), {})]
        right, own = set(spans.spans(true)), set(spans.spans(said))
        for mark, color, some in (("✓", style.RIGHT, right & own), ("✗ missed:", style.WRONG, right - own),
                                  ("✗ not there:", style.WRONG, own - right)):  # fmt: skip
            told = [f"{' '.join(sentence[span.start : span.stop])} ({span.type})" for span in sorted(some)]
            parts += [(style.wrapped(f"{mark} {', '.join(told)}", 58), {"color": color})] if told else []
    return _lines_of(parts)

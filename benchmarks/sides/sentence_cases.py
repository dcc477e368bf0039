"""What both sides of `sentences.py` compute: cases and sentences, from NumPy alone."""

from typing import NamedTuple

import numpy as np

SENTENCES = 512
WORDS = [
    "the", "a", "of", "to", "and", "in", "that", "it", "is", "was", "i", "for", "on", "you", "he", "be", "with",
    "as", "by", "at", "have", "are", "this", "not", "but", "had", "his", "they", "from", "she", "which", "or",
    "we", "an", "there", "her", "were", "one", "do", "been", "all", "their", "has", "would", "will", "what", "if",
    "can", "when", "so", "no", "my", "me", "could", "than", "then", "its", "out", "up", "into", "them", "your",
    "time", "now", "very", "over", "such", "some", "more", "people", "just", "want", "know", "card", "order",
    "weather", "music", "alarm", "remind", "play", "book", "song", "account", "transfer",
]  # fmt: skip


class SentenceCase(NamedTuple):
    lengths: str
    """short: 4 to 16 words, as intents have; mixed: 4 to 120, as reviews."""

    @property
    def name(self) -> str:
        return f"all-MiniLM-L6-v2, {self.lengths} sentences"


CASES = [SentenceCase("short"), SentenceCase("mixed")]


def sentences(case: SentenceCase) -> list[str]:
    rng = np.random.default_rng(0)
    most = {"short": 16, "mixed": 120}[case.lengths]
    counts = np.exp(rng.uniform(np.log(4), np.log(most), SENTENCES)).astype(int)
    return [" ".join(rng.choice(WORDS, count)) for count in counts]


def answers(vectors: np.ndarray) -> tuple[float, float]:
    """Two numbers that tell whether the sides agree, of vectors [n, width] at length one."""
    direction = np.random.default_rng(1).standard_normal(vectors.shape[1])
    return float(np.square(vectors @ direction).mean()), float(np.linalg.norm(vectors.mean(axis=0)))

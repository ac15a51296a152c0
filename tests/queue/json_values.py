"""Values for property tests: whatever JSON carries without a change."""

from __future__ import annotations

from hypothesis import strategies as st

#: No surrogates and no U+0000, which are refused.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
integers = st.integers(-(2**53) + 1, 2**53 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | integers | floats | texts
#: Keys on which UTF-8 and UTF-16 order disagree are among them, and some that need escapes.
keys = st.text('ab"\\\né\U0001f600\ufb33', max_size=4)


def nested(leaves: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=15,
    )


values = nested(scalars)
records = st.dictionaries(keys, values, max_size=5)

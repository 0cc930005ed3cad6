"""Memory against a release: what is a difference, what is none."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from consul_kam.core.compare import EQUAL, Difference, difference, equal
from consul_kam.core.records import Key, Memory, Record, Release, Seen

NONE: frozenset[Key] = frozenset()
A, B, C, D = (Record((name,), group, (name,), name, (name,)) for name, group in zip("abcd", "1112", strict=True))


def wanted(*records: Record, disabled: frozenset[Key] = NONE) -> Release:
    return Release("", records, disabled)


def memory(release: Release) -> Memory:
    return tuple(Seen(r.key, r.seen, disabled=r.key in release.disabled) for r in release.records)


def compared(release: Release, held: Memory, enable: frozenset[Key] = NONE) -> Difference:
    """Ordered; the same without order but for `misordered`."""
    found = difference(release, held, enable, ordered=True)
    assert difference(release, held, enable, ordered=False) == replace(found, misordered=())
    return found


def test_missing_extra_changed_and_order_are_told_apart() -> None:
    held = memory(wanted(D, C, A, Record(("z",), "1", ("z",), "", ())))
    held = (*held[:-2], replace(held[-2], seen=("other",)), held[-1])
    found = compared(wanted(A, B, C, D), held)
    assert found == Difference((B.key,), (("z",),), (A.key,), ("1",))
    assert str(found) == "1 missing, 1 extra, 1 changed, order of set 1"
    assert (bool(found), bool(EQUAL), str(EQUAL)) == (True, False, "equal")
    assert str(Difference(misordered=("1", "2"))) == "order of set 1, 2"


def test_only_missing_means_nothing_else_at_all() -> None:
    release = wanted(A, B, C)
    assert compared(release, memory(wanted(A, C))).only_missing
    assert not EQUAL.only_missing
    assert not compared(release, memory(wanted(C, A))).only_missing
    assert not compared(release, memory(wanted(A, D))).only_missing
    assert not compared(release, (replace(memory(release)[0], seen=()),)).only_missing


def test_each_kind_alone_is_a_difference() -> None:
    release = wanted(A, B)
    for kind in ("missing", "extra", "changed", "misordered"):
        assert Difference(**{kind: ("a",)})
    assert compared(release, memory(wanted(A))) == Difference(missing=(B.key,))
    assert compared(release, memory(wanted(A, B, C))) == Difference(extra=(C.key,))
    assert compared(release, (*memory(wanted(A)), replace(memory(wanted(B))[0], seen=()))) == Difference(
        changed=(B.key,)
    )
    assert compared(release, memory(wanted(B, A))) == Difference(misordered=("1",))


def test_a_record_twice_in_memory_is_extra_and_no_matter_of_order() -> None:
    """The read-back may give one and the same object for both."""
    held = memory(wanted(A, B))
    for again in (held[0], replace(held[0])):
        assert compared(wanted(A, B), (*held, again)) == Difference(extra=(A.key,))
        assert compared(wanted(A, B, C), (*held, again)) == Difference(missing=(C.key,), extra=(A.key,))


def test_the_order_between_sets_does_not_matter() -> None:
    assert compared(wanted(A, B, D), memory(wanted(D, A, B))) == EQUAL


def test_disabled_by_release_has_to_be_so_in_memory() -> None:
    release = wanted(A, B, disabled=frozenset({B.key}))
    assert compared(release, memory(release)) == EQUAL
    assert compared(release, memory(wanted(A, B))) == Difference(changed=(B.key,))
    assert compared(release, memory(wanted(A, B)), enable=frozenset({A.key})) == Difference(changed=(B.key,))


def test_disabled_by_others_is_no_difference_ours_that_ended_is_one() -> None:
    off = memory(wanted(A, B, disabled=frozenset({B.key})))
    assert compared(wanted(A, B), off) == EQUAL
    assert compared(wanted(A, B), off, enable=frozenset({A.key})) == EQUAL
    assert compared(wanted(A, B), off, enable=frozenset({B.key})) == Difference(changed=(B.key,))
    assert compared(wanted(A, B), off, enable=frozenset({B.key, C.key})) == Difference(changed=(B.key,))


names = st.sampled_from("abcdef")
records = st.lists(
    st.builds(lambda n, g, v: Record((n,), g, (v,), n, (n,)), names, st.sampled_from("12"), st.integers(0, 1)),
    unique_by=lambda r: r.key,
)
keysets = st.frozensets(names.map(lambda name: (name,)))
releases = st.builds(lambda rs, off: Release("", tuple(rs), off & {r.key for r in rs}), records, keysets)
memories = st.lists(
    st.builds(Seen, names.map(lambda n: (n,)), st.integers(0, 1).map(lambda v: (v,)), st.just(""), st.booleans())
)


@given(releases, keysets, st.booleans())
def test_a_release_as_memory_is_equal(release: Release, enable: frozenset[Key], ordered: bool) -> None:
    assert difference(release, memory(release), enable - release.disabled, ordered) == EQUAL


@given(releases, memories, keysets)
def test_at_a_glance_and_in_full_say_the_same(release: Release, held: list[Seen], enable: frozenset[Key]) -> None:
    """Without order nothing is compared at a glance; the order is checked here by a rule of its own."""
    _same(release, tuple(held), enable)


@given(releases, keysets, st.data())
def test_at_a_glance_and_in_full_say_the_same_of_what_is_nearly_right(
    release: Release, enable: frozenset[Key], data: st.DataObject
) -> None:
    held = [replace(entry, disabled=data.draw(st.booleans())) for entry in memory(release)]
    if held and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(held) - 1))
        held[at] = replace(held[at], seen=(data.draw(st.integers(0, 1)),))
    if data.draw(st.booleans()):
        held = data.draw(st.permutations(held))
    _same(release, tuple(held), enable)


def _same(release: Release, held: Memory, enable: frozenset[Key]) -> None:
    found = difference(release, held, enable, ordered=True)
    full = difference(release, held, enable, ordered=False)
    assert replace(found, misordered=()) == full
    here = list(dict.fromkeys(entry.key for entry in held))
    common = [r for r in release.records if r.key in here]
    groups = {r.group for r in common if _in(common, r.group) != sorted(_in(common, r.group), key=here.index)}
    assert found.misordered == tuple(sorted(groups))


def _in(common: list[Record], group: str) -> list[Key]:
    return [r.key for r in common if r.group == group]


def test_order_counts_only_where_it_has_a_meaning() -> None:
    for ordered in (True, False):
        assert equal(wanted(A, B), memory(wanted(A, B)), NONE, ordered)
        assert equal(wanted(A, B), memory(wanted(B, A)), NONE, ordered) != ordered

"""Which machine is asked for first, which never, and where a volume that stays is put."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devpod_rp.errors import ConfigurationError, NoCapacityError
from devpod_rp.lifecycle.market.placement import (
    POINTS,
    BadHost,
    Candidate,
    Ranking,
    Tier,
    avoiding,
    by_bid,
    homes_of_new_volume,
    in_center,
    rank_cpus,
    rank_gpus,
)
from devpod_rp.spec.gpu_names import UnknownGpu
from tests.lifecycle.market.offers import cpu, gpu, spec

LEVELS = st.sampled_from(sorted(POINTS))
CENTERS = ("EU-1", "EU-2", "US-1")


def _machines(wish, *gpus) -> list[str]:
    return [each.machine for each in rank_gpus(wish, gpus).candidates]


class TestOrder:
    def test_the_order_of_the_wishes_beats_the_price(self):
        assert _machines(spec(gpu=["A", "B"]), gpu("B", secure=0.1), gpu("A", secure=0.9)) == ["A", "B"]

    def test_what_has_no_stock_comes_last_but_stays(self):
        assert _machines(spec(gpu=["A", "B"]), gpu("A", stock="NONE"), gpu("B")) == ["B", "A"]

    def test_within_one_wish_the_cheapest_comes_first(self):
        found = _machines(spec(gpu=["any"]), gpu("A", secure=0.9), gpu("B", secure=0.1), gpu("C", secure=0.5))
        assert found == ["B", "C", "A"]

    def test_of_equal_prices_the_better_stocked_comes_first(self):
        assert _machines(spec(gpu=["any"]), gpu("A", stock="LOW"), gpu("B", stock="HIGH")) == ["B", "A"]

    def test_a_type_that_several_wishes_name_is_asked_for_once(self):
        assert _machines(spec(gpu=["B", "any"]), gpu("A", secure=0.1), gpu("B")) == ["B", "A"]

    def test_both_tiers_are_offered_for_any_and_the_cheaper_first(self):
        found = rank_gpus(spec(gpu=["A"], tier="any"), [gpu("A", secure=0.5, community=0.2)]).candidates
        assert [each.tier for each in found] == ["COMMUNITY", "SECURE"]

    def test_the_price_is_for_all_gpus_of_the_pod(self):
        (found,) = rank_gpus(spec(gpu=["A"], gpu_count=4), [gpu("A", secure=0.5)]).candidates
        assert (found.price_per_hour, found.machine) == (2.0, "4 x A")


class TestWhatIsRuledOut:
    def test_too_little_memory(self):
        assert _machines(spec(gpu=["any>=48GB"]), gpu("A", memory=24), gpu("B", memory=48)) == ["B"]

    def test_too_dear(self):
        ranking = rank_gpus(spec(gpu=["any"], max_price=0.5), [gpu("A", secure=0.6), gpu("B", secure=0.5)])
        assert [each.machine for each in ranking.candidates] == ["B"]
        assert [(each.machine, each.reason) for each in ranking.ruled_out] == [
            ("A", "$0.60/h is above max_price $0.50/h")
        ]

    def test_the_limit_is_for_the_whole_pod(self):
        with pytest.raises(NoCapacityError, match=r"\$1\.00/h is above max_price"):
            rank_gpus(spec(gpu=["A"], gpu_count=2, max_price=0.6), [gpu("A", secure=0.5)])

    def test_a_tier_that_does_not_offer_it(self):
        with pytest.raises(NoCapacityError, match="not offered in the community cloud"):
            rank_gpus(spec(gpu=["A"], tier="community"), [gpu("A")])

    def test_more_gpus_than_a_machine_has(self):
        with pytest.raises(NoCapacityError, match="4 to a machine at most"):
            rank_gpus(spec(gpu=["A"], gpu_count=8), [gpu("A", most=4)])

    def test_the_community_cloud_for_a_network_volume(self):
        ranking = rank_gpus(
            spec(gpu=["A"], tier="any", volume={"kind": "network"}), [gpu("A", secure=0.5, community=0.1)]
        )
        assert [each.tier for each in ranking.candidates] == ["SECURE"]
        assert "no network volumes" in ranking.ruled_out[0].reason

    def test_a_name_nobody_knows_says_what_was_meant(self):
        with pytest.raises(UnknownGpu) as error:
            rank_gpus(spec(gpu=["RTX 4099"]), [gpu("RTX 4090")])
        assert "RTX 4090" in error.value.hint


class TestDataCenters:
    def test_stock_counts_only_where_the_wish_wants_to_be(self):
        wish = spec(gpu=["A", "B"], data_centers=["EU-1"])
        first = gpu("A", stock={"EU-1": "NONE", "US-1": "HIGH"})
        ranking = rank_gpus(wish, [first, gpu("B", stock={"EU-1": "LOW"})])
        assert [(each.machine, each.stock) for each in ranking.candidates] == [("B", "LOW"), ("A", "NONE")]
        assert ranking.candidates[0].data_centers == ("EU-1",)

    def test_where_the_network_volume_is_decides(self):
        ranking = rank_gpus(spec(gpu=["A", "B"]), [gpu("A", stock={"EU-1": "HIGH"}), gpu("B", stock={"US-1": "LOW"})])
        placed = in_center(ranking, "US-1")
        assert [(each.machine, each.stock, each.data_centers) for each in placed.candidates] == [
            ("B", "LOW", ("US-1",)),
            ("A", "NONE", ("US-1",)),
        ]


class TestHomeOfANewVolume:
    def test_it_is_where_the_whole_wish_list_has_most_stock(self):
        wishes = rank_gpus(
            spec(gpu=["A", "B"]),
            [gpu("A", stock={"EU-1": "HIGH", "US-1": "MEDIUM"}), gpu("B", stock={"EU-1": "NONE", "US-1": "HIGH"})],
        ).candidates
        choices = homes_of_new_volume(wishes, ["EU-1", "US-1"])
        assert [(each.data_center, each.points) for each in choices] == [("US-1", 5), ("EU-1", 3)]
        assert choices[0].stock == {"A": "MEDIUM", "B": "HIGH"}

    def test_of_equals_the_one_with_more_of_the_first_wish(self):
        wishes = rank_gpus(
            spec(gpu=["A", "B"]),
            [gpu("A", stock={"EU-1": "LOW", "US-1": "HIGH"}), gpu("B", stock={"EU-1": "HIGH", "US-1": "LOW"})],
        ).candidates
        assert homes_of_new_volume(wishes, ["EU-1", "US-1"])[0].data_center == "US-1"

    def test_a_data_center_without_network_volumes_is_no_home(self):
        wishes = rank_gpus(spec(gpu=["A"]), [gpu("A", stock={"EU-1": "HIGH", "US-1": "LOW"})]).candidates
        assert [each.data_center for each in homes_of_new_volume(wishes, ["US-1"])] == ["US-1"]
        with pytest.raises(NoCapacityError, match="has network volumes"):
            homes_of_new_volume(wishes, ["AP-1"])

    @given(st.lists(st.dictionaries(st.sampled_from(CENTERS), LEVELS, min_size=1), min_size=1, max_size=4))
    def test_no_other_place_has_more(self, stocks):
        wishes = rank_gpus(spec(gpu=["any"]), [gpu(f"G{i}", stock=each) for i, each in enumerate(stocks)]).candidates
        best, *others = homes_of_new_volume(wishes, CENTERS)
        assert all(best.points >= other.points for other in others)
        assert best.points == sum(POINTS[each.get(best.data_center, "NONE")] for each in stocks)


class TestBadHosts:
    candidate = Candidate(
        "gpu", "a", "A", 1, "SECURE", 0.5, "HIGH", (), {"EU-1": "HIGH", "EU-2": "LOW", "US-1": "NONE"}
    )

    def test_another_data_center_with_stock_is_asked_instead(self):
        (found,) = avoiding([self.candidate], [BadHost("a", "EU-1", None, "no sshd")])
        assert (found.data_centers, found.stock) == (("EU-2", "US-1"), "LOW")

    def test_without_stock_elsewhere_it_comes_last(self):
        other = Candidate("gpu", "b", "B", 1, "SECURE", 0.9, "LOW")
        bad = [BadHost("a", "EU-1", None, ""), BadHost("a", "EU-2", None, "")]
        assert avoiding([self.candidate, other], bad) == (other, self.candidate)

    def test_another_machine_in_the_same_place_is_not_blamed(self):
        assert avoiding([self.candidate], [BadHost("b", "EU-1", None, "")]) == (self.candidate,)

    def test_a_host_of_unknown_place_bans_no_place(self):
        assert avoiding([self.candidate], [BadHost("a", None, None, "")]) == (self.candidate,)


class TestCpus:
    def test_the_flavor_is_the_one_candidate(self):
        (found,) = rank_cpus(spec(cpu="cpu3c", vcpu=4), [cpu()]).candidates
        assert (found.machine, found.price_per_hour) == ("cpu3c, 4 vCPU", 0.12)

    def test_an_unknown_flavor_names_the_known(self):
        with pytest.raises(ConfigurationError) as error:
            rank_cpus(spec(cpu="cpu9z"), [cpu()])
        assert "cpu3c" in error.value.hint

    def test_a_size_it_does_not_come_in(self):
        with pytest.raises(ConfigurationError, match="2 to 8 vCPUs, not 16"):
            rank_cpus(spec(cpu="cpu3c", vcpu=16), [cpu(most=8)])

    def test_too_dear(self):
        with pytest.raises(NoCapacityError, match="above max_price"):
            rank_cpus(spec(cpu="cpu3c", max_price=0.01), [cpu()])


@given(
    stocks=st.lists(LEVELS, min_size=1, max_size=6),
    prices=st.lists(st.floats(0.1, 5), min_size=6, max_size=6),
    limit=st.none() | st.floats(0.1, 5),
    order=st.permutations(range(6)),
)
def test_every_fitting_offer_is_ranked_exactly_once_and_nothing_else(stocks, prices, limit, order):
    types = [gpu(f"G{i}", secure=round(prices[i], 2), stock=stock) for i, stock in enumerate(stocks)]
    names = [f"G{i}" for i in order if i < len(types)]
    fitting = {each.name for each in types if limit is None or each.price.secure <= limit}
    wish = spec(gpu=names, max_price=limit)
    if not fitting:
        with pytest.raises(NoCapacityError):
            rank_gpus(wish, types)
        return
    ranking = rank_gpus(wish, types)
    found = [each.label for each in ranking.candidates]
    assert sorted(found) == sorted(fitting)
    assert {each.machine for each in ranking.ruled_out} == {each.name for each in types} - fitting
    stocked = [each.stock != "NONE" for each in ranking.candidates]
    assert stocked == sorted(stocked, reverse=True)
    for half in (True, False):
        positions = [names.index(name) for name, has in zip(found, stocked, strict=True) if has is half]
        assert positions == sorted(positions)


def spot(ranking: Ranking, **options: Any) -> list[tuple[str, float]]:
    lowest = {("a", "SECURE"): 0.30, ("b", "SECURE"): 0.10, ("b", "COMMUNITY"): 0.05}
    options = {"bid": None, "max_price": None, **options}
    return [(each.id, each.price_per_hour) for each in by_bid(ranking, lowest, **options).candidates]


def offer(gpu_id: str, price: float, count: int = 1, tier: Tier = "SECURE") -> Candidate:
    return Candidate("gpu", gpu_id, gpu_id, count, tier, price, "HIGH")


@pytest.mark.parametrize(
    "bid, max_price, expected",
    [
        (None, None, [("a", 0.33), ("b", 0.22)]),  # a tenth above the lowest, for each of its GPUs
        (0.3, None, [("a", 0.3), ("b", 0.6)]),
        (0.2, None, [("b", 0.4)]),  # below the lowest bid for a
        (None, 0.25, [("b", 0.22)]),  # the whole pod counts
    ],
)
def test_a_bid_prices_the_whole_pod_and_rules_out_what_takes_more(bid, max_price, expected):
    ranking = Ranking((offer("a", 0.69), offer("b", 1.0, count=2)))
    assert spot(ranking, bid=bid, max_price=max_price) == expected


def test_the_default_bid_never_exceeds_the_price_on_demand():
    assert spot(Ranking((offer("a", 0.31),))) == [("a", 0.31)]


def test_what_is_not_rented_by_bid_is_ruled_out_with_the_reason():
    ranking = by_bid(Ranking((offer("a", 0.69), offer("c", 0.2))), {("a", "SECURE"): 0.3}, None, None)
    assert [(each.machine, each.reason) for each in ranking.ruled_out] == [
        ("c", "not offered by bid in the secure cloud")
    ]
    with pytest.raises(NoCapacityError, match=r"takes \$0.300 per GPU and hour at least, not \$0.100"):
        by_bid(Ranking((offer("a", 0.69),)), {("a", "SECURE"): 0.3}, 0.1, None)

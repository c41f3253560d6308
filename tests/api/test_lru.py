"""The cache of limited size that remembers documents, plans, answers and buckets."""

from api.lru import LRUCache


def test_drops_what_was_not_used_for_longest() -> None:
    cache: LRUCache[str, int] = LRUCache(3)
    for number, name in enumerate("abc"):
        cache.put(name, number)
    assert cache.get("a") == 0
    assert "b" in cache  # which is no use
    cache.put("d", 3)
    assert [name for name in "abcd" if name in cache] == ["a", "c", "d"]
    cache.put("c", 4)
    cache.put("e", 5)
    assert [cache.get(name) for name in "abcde"] == [None, None, 4, 3, 5]


def test_weighs_values() -> None:
    cache: LRUCache[str, str] = LRUCache(10, len)
    cache.put("a", "1234")
    cache.put("b", "123456")
    cache.put("a", "12")
    cache.put("c", "12")
    assert len(cache) == 3
    cache.put("d", "1")
    assert [cache.get(name) for name in "abcd"] == ["12", None, "12", "1"]
    cache.put("huge", "x" * 11)
    assert "huge" not in cache
    assert "a" in cache
    cache.clear()
    cache.put("e", "1234567890")
    assert len(cache) == 1

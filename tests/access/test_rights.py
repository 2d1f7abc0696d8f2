"""What callers may do by the file of rights."""

from dataclasses import replace
from typing import Any

from lakebase_api.access.caller import ANONYMOUS, Caller, Method
from lakebase_api.access.rights import ALL_OF_IT, Access, Action, Duty, Rights
from lakebase_api.access.rights_file import read_rights
from lakebase_api.sql.predicates import EVERYTHING, Either, Operator, Predicate
from lakebase_api.table.loading import read_tables
from tests.tables import trial

TABLES = {table.name: table for table in read_tables(trial.DECLARED, "tables.toml")[0]}
ORDERS, CUSTOMERS = TABLES["orders"], TABLES["customers"]
CLERK_IS = Predicate("o_clerk", Operator.EQUAL)


def read(text: str, anonymous: str | None = None) -> Rights:
    rights, mistakes = read_rights(text, "rights.toml", list(TABLES.values()), anonymous)
    assert not mistakes
    return rights


def know(rights: Rights, subject: str = "ann", method: Method = Method.JWT, **claims: Any) -> Caller:
    caller = Caller(subject, "Ann", method, claims=claims)
    return replace(caller, roles=rights.find_roles(caller))


def find(rights: Rights, caller: Caller, action: Action = Action.READ) -> Access | None:
    return rights.find_access(caller, ORDERS, action)


def test_without_a_file_who_is_known_may_do_everything() -> None:
    rights = Rights()
    assert find(rights, know(rights), Action.CHANGE) == ALL_OF_IT
    assert rights.allows(know(rights), Duty.AUDIT)


def test_strangers_may_do_what_is_said_of_them_and_nothing_else() -> None:
    may = {
        anonymous: [str(right) for right in Rights(anonymous=anonymous).list_rights(ANONYMOUS, [ORDERS])]
        for anonymous in (None, "off", "read", "all")
    }
    assert may[None] == may["off"] == []
    assert may["read"] == ["orders:read"]
    assert may["all"] == [
        "orders:read",
        "orders:export",
        "orders:change",
        "orders:history",
        "service:observe",
        "service:audit",
    ]


def test_strangers_have_no_role_of_whoever_is_known() -> None:
    rights = read('[roles]\nreader = ["orders:read"]\n[callers]\n"*" = "reader"')
    assert rights.find_roles(ANONYMOUS) == frozenset()
    assert find(rights, know(rights)) == ALL_OF_IT


def test_a_right_is_of_its_table_and_action_alone() -> None:
    rights = read('[roles]\nreader = ["orders:read"]\n[callers]\nann = "reader"')
    ann = know(rights)
    assert rights.list_rights(ann, list(TABLES.values())) == ["orders:read"]
    assert rights.find_access(ann, CUSTOMERS, Action.READ) is None
    assert find(rights, know(rights, "bob")) is None


def test_roles_come_by_subject_by_claim_and_from_the_token() -> None:
    roles = "".join(f'{name} = ["orders:read"]\n' for name in "abcd")
    rights = read(f'[roles]\n{roles}[callers]\nann = "a"\n"claim:groups.of=sales" = "b"\n"*" = "c"\n')
    assert know(rights).roles == {"a", "c"}
    assert know(rights, "bob", groups={"of": ["x", "sales"]}).roles == {"b", "c"}
    told = Caller("bob", "", Method.JWT, frozenset({"d", "root"}))
    assert rights.find_roles(told) == {"c", "d"}


def test_only_a_key_has_the_roles_of_a_key() -> None:
    rights = read('[roles]\na = ["orders:read"]\n[callers]\n"key:ann" = "a"')
    assert know(rights, "key:ann", Method.API_KEY).roles == {"a"}
    assert know(rights, "key:ann", Method.JWT).roles == frozenset()
    assert know(rights, "key:ann", Method.PROXY).roles == frozenset()


def test_a_claim_is_compared_as_a_text_and_an_object_never() -> None:
    rights = read('[roles]\na = ["orders:read"]\n[callers]\n"claim:level=3" = "a"\n"claim:vip=true" = "a"')
    assert know(rights, level=3).roles == know(rights, vip=True).roles == {"a"}
    assert know(rights, level={"3": 3}).roles == know(rights, vip=1).roles == frozenset()


ROLES = """
[roles]
all = ["orders:read"]
own = ["orders:read", "orders:export"]
early = ["orders:read"]
[callers]
"claim:role=all" = "all"
"claim:role=own" = "own"
"claim:role=early" = "early"
[rows.orders]
own = { o_clerk = "$subject" }
early = { o_custkey = "$claim:customers", o_orderdate_to = 1995-01-01 }
[hidden.orders]
own = ["o_comment", "o_totalprice"]
early = ["o_comment", "o_clerk"]
"""


def test_a_filter_has_the_callers_own_value() -> None:
    rights = read(ROLES)
    access = find(rights, know(rights, role="own"))
    assert access == Access(access.rows if access else EVERYTHING, frozenset({"o_comment", "o_totalprice"}))
    assert (access.rows.shape, access.rows.values) == ((CLERK_IS,), ("ann",))


def test_filters_of_several_roles_are_alternatives_and_hidden_is_what_all_hide() -> None:
    rights = read(ROLES)
    access = find(rights, know(rights, role=["own", "early"], customers=[7, "8", "x"]))
    assert access is not None
    [either] = access.rows.shape
    assert isinstance(either, Either)
    assert [len(alternative) for alternative in either.alternatives] == [1, 2]
    assert access.rows.values == ("ann", (7, 8), "1995-01-01")
    assert access.hidden == {"o_comment"}


def test_a_role_without_filter_and_hidden_columns_shows_everything() -> None:
    rights = read(ROLES)
    assert find(rights, know(rights, role=["own", "all"])) == ALL_OF_IT


def test_only_roles_that_give_the_right_count() -> None:
    rights = read(ROLES)
    access = find(rights, know(rights, role=["own", "all"]), Action.EXPORT)
    assert access is not None
    assert access.rows.shape == (CLERK_IS,)
    assert access.hidden == {"o_comment", "o_totalprice"}


def test_without_the_claim_of_a_filter_no_row_is_there() -> None:
    rights = read(ROLES)
    tried: list[dict[str, Any]] = [{}, {"customers": "x"}, {"customers": {"id": 7}}, {"customers": []}]
    for claims in tried:
        access = find(rights, know(rights, role="early", **claims))
        assert access is not None
        assert access.rows.shape == (Either(()),)


def test_one_claim_that_is_missing_takes_nothing_from_another_role() -> None:
    rights = read(ROLES)
    access = find(rights, know(rights, role=["own", "early"]))
    assert access is not None
    assert access.rows.shape == (CLERK_IS,)

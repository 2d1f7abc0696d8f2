from tests.conftest import ORDERS, ROLE, OrdersDatabase
from tests.tables import trial


def test_the_tables_of_the_trial_are_as_the_other_tests_take_them(unchanged_trial: OrdersDatabase) -> None:
    sizes = {
        "public.orders_synced": ORDERS,
        "public.customer_synced": trial.CUSTOMERS,
        "app.events": trial.EVENTS,
        "public.lineitem_synced": trial.LINEITEMS,
    }
    for table, size in sizes.items():
        assert unchanged_trial.execute(f"SELECT count(*) FROM {table}") == [(size,)]
        grant = f"SELECT has_table_privilege('{ROLE}', '{table}', 'SELECT')"
        assert unchanged_trial.execute(grant) == [(True,)]

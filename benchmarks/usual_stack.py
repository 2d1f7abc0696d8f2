"""The usual stack: FastAPI, SQLModel on async SQLAlchemy, asyncpg, uvicorn, as the Lakebase template has it.

A program of its own with requirements of its own; it shares nothing with the service but the table.
``requirements.txt`` is what pip makes of the template's pins.
"""

import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from sqlalchemy import URL, BigInteger, Row, func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlmodel import Field, SQLModel

URL_OF_DATABASE = URL.create(
    "postgresql+asyncpg",
    username=os.environ["PGUSER"],
    password=os.environ["PGPASSWORD"],
    host=os.environ["PGHOST"],
    port=int(os.environ["PGPORT"]),
    database=os.environ["PGDATABASE"],
)

logging.basicConfig(level=logging.INFO, format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")
logger = logging.getLogger(__name__)

engine = create_async_engine(
    URL_OF_DATABASE,
    pool_size=5,
    max_overflow=10,
    pool_timeout=30,
    pool_recycle=3600,
    connect_args={"command_timeout": 10, "ssl": False},
)
new_session = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


async def require_engine() -> None:
    """Every route of the templates asks first whether there is a database at all."""
    if engine is None:
        raise HTTPException(503, "The database is not initialized")


router = APIRouter(prefix="/orders", dependencies=[Depends(require_engine)])


async def open_session() -> AsyncIterator[AsyncSession]:
    async with new_session() as session:
        yield session


Session = Annotated[AsyncSession, Depends(open_session)]
PageSize = Annotated[int, Query(ge=1, le=1000)]


class OrderFields(SQLModel):
    o_custkey: int
    o_orderstatus: str
    o_totalprice: Decimal = Field(max_digits=18, decimal_places=2)
    o_orderdate: date
    o_orderpriority: str
    o_clerk: str
    o_shippriority: int
    o_comment: str


class Order(OrderFields, table=True):  # type: ignore[call-arg]
    __tablename__ = "orders_synced"
    __table_args__ = {"schema": "public"}

    o_orderkey: int = Field(primary_key=True, sa_type=BigInteger)


class OrderRead(OrderFields):
    o_orderkey: int


class CursorPagination(SQLModel):
    page_size: int
    has_next: bool
    has_previous: bool
    next_cursor: int | None
    previous_cursor: int | None


class PagePagination(CursorPagination):
    page: int
    total_pages: int | None
    total_count: int | None


class OrderStream(SQLModel):
    orders: list[OrderRead]
    pagination: CursorPagination


class OrderPages(SQLModel):
    orders: list[OrderRead]
    pagination: PagePagination


class StatusUpdate(SQLModel):
    o_orderstatus: Literal["F", "O", "P"]


class StatusRead(SQLModel):
    o_orderkey: int
    o_orderstatus: str
    message: str


NAMES = ("o_orderkey", *OrderFields.model_fields)
COLUMNS = [getattr(Order, name) for name in NAMES]


def _to_read(row: Row[Any]) -> OrderRead:
    return OrderRead(**dict(zip(NAMES, row, strict=True)))


@app.middleware("http")
async def add_process_time(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    started = time.perf_counter()
    response = await call_next(request)
    seconds = time.perf_counter() - started
    response.headers["X-Process-Time"] = str(seconds)
    logger.info(f"Request: {request.method} {request.url.path} - {seconds * 1000:.1f}ms")
    return response


@router.get("/pages", response_model=OrderPages)
async def list_order_pages(
    session: Session,
    page: Annotated[int, Query(ge=1)] = 1,
    page_size: PageSize = 100,
    include_count: bool = True,
) -> OrderPages:
    total = await session.scalar(select(func.count(Order.o_orderkey))) if include_count else None
    offset = (page - 1) * page_size
    statement = select(*COLUMNS).order_by(Order.o_orderkey).offset(offset).limit(page_size + 1)
    found = (await session.execute(statement)).all()
    orders = [_to_read(row) for row in found[:page_size]]
    has_next = len(found) > page_size
    pagination = PagePagination(
        page=page,
        page_size=page_size,
        total_pages=None if total is None else -(-total // page_size),
        total_count=total,
        has_next=has_next,
        has_previous=page > 1,
        next_cursor=orders[-1].o_orderkey if has_next else None,
        previous_cursor=orders[0].o_orderkey if orders and page > 1 else None,
    )
    return OrderPages(orders=orders, pagination=pagination)


@router.get("/stream", response_model=OrderStream)
async def stream_orders(
    session: Session, cursor: Annotated[int, Query(ge=0)] = 0, page_size: PageSize = 100
) -> OrderStream:
    statement = select(*COLUMNS).where(Order.o_orderkey > cursor).order_by(Order.o_orderkey)
    found = (await session.execute(statement.limit(page_size + 1))).all()
    orders = [_to_read(row) for row in found[:page_size]]
    has_next = len(found) > page_size
    pagination = CursorPagination(
        page_size=page_size,
        has_next=has_next,
        has_previous=cursor > 0,
        next_cursor=orders[-1].o_orderkey if has_next else None,
        previous_cursor=max(0, cursor - page_size) if cursor > 0 else None,
    )
    return OrderStream(orders=orders, pagination=pagination)


@router.get("/{order_key}", response_model=OrderRead)
async def get_order(order_key: int, session: Session) -> Order:
    return await _find(session, order_key)


@router.post("/{order_key}/status", response_model=StatusRead)
async def update_order_status(order_key: int, body: StatusUpdate, session: Session) -> StatusRead:
    order = await _find(session, order_key)
    order.o_orderstatus = body.o_orderstatus
    await session.commit()
    await session.refresh(order)
    logger.info(f"Updated order {order_key} to status {body.o_orderstatus}")
    message = "Order status updated successfully"
    return StatusRead(o_orderkey=order_key, o_orderstatus=body.o_orderstatus, message=message)


async def _find(session: AsyncSession, order_key: int) -> Order:
    found = await session.scalars(select(Order).where(Order.o_orderkey == order_key))
    order: Order | None = found.first()
    if order is None:
        logger.info(f"Order not found: {order_key}")
        raise HTTPException(404, f"Order {order_key} not found")
    return order


app.include_router(router)

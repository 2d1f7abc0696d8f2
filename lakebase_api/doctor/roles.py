"""Says what callers may do by the file of rights, and what of it cannot be meant."""

from lakebase_api.access.rights import Rights
from lakebase_api.lakebase.findings import Check, advised, passed
from lakebase_api.settings import Settings

NAME = "rights"
STRANGERS = {"read": "strangers may read all tables", "all": "strangers may do everything"}
NO_STRANGERS = "strangers may do nothing"


def judge_rights(settings: Settings, rights: Rights) -> Check:
    """The check of rights that were read without a mistake."""
    strangers = STRANGERS.get(settings.anonymous or "", NO_STRANGERS)
    if settings.rights_file is None:
        return passed(NAME, f"whoever is known may do everything, {strangers}")
    says = f"{len(rights.role_names)} roles, {strangers}"
    # Those of tokens are not known here.
    unassigned = [] if settings.jwt_roles_claim else rights.list_unassigned()
    if unassigned:
        names = ", ".join(unassigned)
        return advised(
            NAME,
            f"{says}; nobody has {names}",
            mend="Name who has them in [callers], or set JWT_ROLES_CLAIM where tokens do",
            sql=(),
        )
    if rights.restricts and settings.anonymous in STRANGERS:
        return advised(
            NAME,
            f"{says}, also the rows and columns that roles leave out",
            mend="Leave ANONYMOUS out, unless everybody may see them",
            sql=(),
        )
    return passed(NAME, says)

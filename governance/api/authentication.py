"""Who calls the native API: an API key, or a console user who names a project. Named by settings."""

import structlog
from django.contrib.auth.models import User
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from governance.domain.actions import KeyKind
from governance.domain.caller import Caller
from governance.domain.errors import Forbidden, InvalidInput, NotFound
from governance.models import Project
from governance.services import api_keys
from governance.services.projects import user_caller


class CallerAuthentication(BaseAuthentication):
    """`Authorization: Bearer <key>`, else the console's session with `?project=<public id>`.

    Sessions are checked for forged requests like the console's own forms.
    """

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        """The caller, nothing when there are no credentials, or a refusal."""
        if "\x00" in request.path:  # no id holds it, and PostgreSQL cannot even be asked for one
            raise InvalidInput("The address contains a NUL character (%00); remove it.", field="url")
        request_id = str(structlog.contextvars.get_contextvars().get("request_id", ""))
        address = str(request.META.get("REMOTE_ADDR", ""))
        header = request.META.get("HTTP_AUTHORIZATION", "")
        if header:
            scheme, _, token = header.partition(" ")
            token = token.strip() if scheme.lower() == "bearer" else ""
            caller = api_keys.authenticate(token=token, request_id=request_id, address=address)
            if caller.key_kind == KeyKind.DATA_PLANE:
                raise Forbidden("A data plane key is valid on /v1/projects/{project_id}/… only.", key_kind="data_plane")
            return caller, None
        user = getattr(request._request, "user", None)
        if not isinstance(user, User) or not user.is_active:
            return None
        SessionAuthentication().enforce_csrf(request)
        public_id = request.query_params.get("project", "")
        if not public_id:
            raise InvalidInput("Query parameter 'project' is missing; a session names its project.", field="project")
        project = Project.objects.filter(public_id=public_id[:64].replace("\x00", "")).first()
        if project is None:
            raise NotFound("This project does not exist or you are not a member of it.")
        return user_caller(user, project, request_id=request_id, address=address), None

    def authenticate_header(self, request: Request) -> str:
        """Makes a missing key 401, not 403."""
        return "Bearer"


def caller_of(request: Request) -> Caller:
    """The caller of an authenticated request."""
    caller: object = request.user
    if not isinstance(caller, Caller):
        raise TypeError(f"{type(caller).__name__} is not a Caller; the view lacks CallerAuthentication")
    return caller

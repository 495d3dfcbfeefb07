"""Native endpoints of API keys. A secret is shown once, in the answer that made it."""

from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.api.authentication import caller_of
from governance.domain.actions import Action, KeyKind
from governance.models import ApiKey
from governance.selectors import projects as selectors
from governance.services import api_keys


class KeyShape(serializers.ModelSerializer[ApiKey]):
    id = serializers.CharField(source="public_id", read_only=True)
    scopes = serializers.ListField(child=serializers.CharField(), help_text="empty: all rights of its kind")

    class Meta:
        model = ApiKey
        fields = (
            "id",
            "kind",
            "name",
            "description",
            "prefix",
            "scopes",
            "created_by",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
        )


class KeyRequest(serializers.Serializer[ApiKey]):
    name = serializers.CharField(max_length=200)
    kind = serializers.ChoiceField(choices=[kind.value for kind in KeyKind], default=KeyKind.PROJECT.value)
    description = serializers.CharField(default="", allow_blank=True, max_length=4_000)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=[action.value for action in Action]), default=list, max_length=64
    )
    expires_at = serializers.DateTimeField(default=None, allow_null=True)


class KeyList(generics.ListAPIView[ApiKey]):
    queryset = ApiKey.objects.none()
    serializer_class = KeyShape
    filterset_fields = ("kind", "name")

    def get_queryset(self):  # type: ignore[no-untyped-def]
        return selectors.api_keys(caller=caller_of(self.request))

    @extend_schema(
        operation_id="keys_create",
        request=KeyRequest,
        responses={
            201: inline_serializer(
                "NewKey", {"key": KeyShape(), "token": serializers.CharField(help_text="shown once")}
            )
        },
    )
    def post(self, request: Request) -> Response:
        """A new key. Its token is in this answer and nowhere else."""
        wanted = KeyRequest(data=request.data)
        wanted.is_valid(raise_exception=True)
        fields = {**wanted.validated_data, "kind": KeyKind(wanted.validated_data["kind"])}
        key, token = api_keys.issue_key(caller=caller_of(request), **fields)
        return Response({"key": KeyShape(key).data, "token": token}, status=status.HTTP_201_CREATED)


class KeyView(APIView):
    @extend_schema(operation_id="keys_revoke", responses=KeyShape)
    def delete(self, request: Request, key_id: str) -> Response:
        """Revoke a key, at once and for ever; its row stays for the record."""
        return Response(KeyShape(api_keys.revoke_key(caller=caller_of(request), public_id=key_id)).data)

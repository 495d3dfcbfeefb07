"""Native endpoints of members and their roles; changed by owners, so by a session: no key has this right."""

from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.api.authentication import caller_of
from governance.domain.actions import Role
from governance.models import Member
from governance.selectors import projects as selectors
from governance.services import members

_ROLES = [role.value for role in Role]


class MemberShape(serializers.ModelSerializer[Member]):
    username = serializers.CharField(source="user.username")

    class Meta:
        model = Member
        fields = ("username", "role", "created_at")


class MemberRequest(serializers.Serializer[Member]):
    username = serializers.CharField(max_length=150)
    role = serializers.ChoiceField(choices=_ROLES)


class RoleChange(serializers.Serializer[Member]):
    role = serializers.ChoiceField(choices=_ROLES)


class MemberList(generics.ListAPIView[Member]):
    queryset = Member.objects.none()
    serializer_class = MemberShape
    filterset_fields = ("role",)

    def get_queryset(self):  # type: ignore[no-untyped-def]
        return selectors.members(caller=caller_of(self.request))

    @extend_schema(operation_id="members_add", request=MemberRequest, responses={201: MemberShape})
    def post(self, request: Request) -> Response:
        """Give a user of this installation a role."""
        wanted = MemberRequest(data=request.data)
        wanted.is_valid(raise_exception=True)
        member = members.add_member(
            caller=caller_of(request),
            username=wanted.validated_data["username"],
            role=Role(wanted.validated_data["role"]),
        )
        return Response(MemberShape(member).data, status=status.HTTP_201_CREATED)


class MemberView(APIView):
    @extend_schema(operation_id="members_change", request=RoleChange, responses=MemberShape)
    def patch(self, request: Request, username: str) -> Response:
        """Another role; 409 for the last owner."""
        change = RoleChange(data=request.data)
        change.is_valid(raise_exception=True)
        member = members.change_role(
            caller=caller_of(request), username=username, role=Role(change.validated_data["role"])
        )
        return Response(MemberShape(member).data)

    @extend_schema(operation_id="members_remove", responses={204: None})
    def delete(self, request: Request, username: str) -> Response:
        """Take the role away; 409 for the last owner."""
        members.remove_member(caller=caller_of(request), username=username)
        return Response(status=status.HTTP_204_NO_CONTENT)

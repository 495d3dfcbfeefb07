"""Native endpoints of provider rules, prices and secrets. The value of a secret goes in and never comes out."""

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from governance.api.authentication import caller_of
from governance.models import Price, ProviderRule, RuleEffect, Secret
from governance.selectors import providers as selectors
from governance.services import prices, providers, secrets


class ProviderRuleShape(serializers.ModelSerializer[ProviderRule]):
    id = serializers.CharField(source="public_id", read_only=True)

    class Meta:
        model = ProviderRule
        fields = ("id", "effect", "provider", "model", "base_url", "note", "created_by", "created_at")


class ProviderRuleRequest(serializers.Serializer[ProviderRule]):
    effect = serializers.ChoiceField(choices=RuleEffect.values, help_text="deny wins over allow")
    provider = serializers.CharField(max_length=200, help_text="name or shell pattern, e.g. `openai` or `*`")
    model = serializers.CharField(max_length=200, default="*", help_text="name or shell pattern")
    base_url = serializers.CharField(
        max_length=500,
        default="*",
        allow_blank=True,
        help_text="scheme and host in full, path as pattern: `https://api.example.com/v1*`; `*`: every address",
    )
    note = serializers.CharField(max_length=500, default="", allow_blank=True)


class PriceShape(serializers.ModelSerializer[Price]):
    id = serializers.CharField(source="public_id", read_only=True)
    is_of_installation = serializers.SerializerMethodField(help_text="set by an operator for all projects")

    class Meta:
        model = Price
        fields = (
            "id",
            "provider",
            "model",
            "per_million_tokens",
            "currency",
            "valid_from",
            "valid_until",
            "is_of_installation",
            "created_by",
            "created_at",
        )

    def get_is_of_installation(self, price: Price) -> bool:
        """Prices of the installation hold where the project has none."""
        return price.project_id is None


class PriceRequest(serializers.Serializer[Price]):
    provider = serializers.CharField(max_length=64)
    model = serializers.CharField(max_length=200, default="*", help_text="name or shell pattern")
    per_million_tokens = serializers.DecimalField(max_digits=16, decimal_places=6, min_value=0)
    currency = serializers.CharField(max_length=3, default="USD")
    valid_from = serializers.DateTimeField()
    valid_until = serializers.DateTimeField(default=None, allow_null=True, help_text="empty: until another is set")


class SecretShape(serializers.ModelSerializer[Secret]):
    id = serializers.CharField(source="public_id", read_only=True)

    class Meta:
        model = Secret
        fields = ("id", "name", "created_by", "created_at")


class SecretRequest(serializers.Serializer[Secret]):
    name = serializers.CharField(max_length=64, help_text="what arms name it by")
    value = serializers.CharField(max_length=secrets.LONGEST_VALUE, write_only=True, help_text="never shown again")


class RuleFilters(filters.FilterSet):  # type: ignore[misc]
    effect = filters.ChoiceFilter(choices=RuleEffect.choices)
    provider = filters.CharFilter(label="exact pattern")

    class Meta:
        model = ProviderRule
        fields: tuple[str, ...] = ()


class PriceFilters(filters.FilterSet):  # type: ignore[misc]
    provider = filters.CharFilter()
    model = filters.CharFilter(label="exact pattern")

    class Meta:
        model = Price
        fields: tuple[str, ...] = ()


class ProviderRuleList(generics.ListAPIView[ProviderRule]):
    """Rules of the project about the providers it may call, newest first."""

    queryset = ProviderRule.objects.none()
    serializer_class = ProviderRuleShape
    filterset_class = RuleFilters

    def get_queryset(self):  # type: ignore[no-untyped-def]
        return selectors.rules(caller=caller_of(self.request))

    @extend_schema(
        operation_id="provider_rules_create", request=ProviderRuleRequest, responses={201: ProviderRuleShape}
    )
    def post(self, request: Request) -> Response:
        """Allow or deny providers by pattern; without rules only local providers are allowed."""
        wanted = ProviderRuleRequest(data=request.data)
        wanted.is_valid(raise_exception=True)
        rule = providers.create_rule(caller=caller_of(request), **wanted.validated_data)
        return Response(ProviderRuleShape(rule).data, status=status.HTTP_201_CREATED)


class ProviderRuleView(APIView):
    @extend_schema(operation_id="provider_rules_delete", responses={204: None})
    def delete(self, request: Request, rule_id: str) -> Response:
        """Take a rule away; work that starts from now on meets the rest."""
        providers.delete_rule(caller=caller_of(request), public_id=rule_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class PriceList(generics.ListAPIView[Price]):
    """Prices of the project and of the installation."""

    queryset = Price.objects.none()
    serializer_class = PriceShape
    filterset_class = PriceFilters

    def get_queryset(self):  # type: ignore[no-untyped-def]
        return selectors.prices(caller=caller_of(self.request))

    @extend_schema(operation_id="prices_create", request=PriceRequest, responses={201: PriceShape})
    def post(self, request: Request) -> Response:
        """A price of the project; 409 when one of the same provider and model holds in that time."""
        wanted = PriceRequest(data=request.data)
        wanted.is_valid(raise_exception=True)
        price = prices.create_price(caller=caller_of(request), **wanted.validated_data)
        return Response(PriceShape(price).data, status=status.HTTP_201_CREATED)


class PriceView(APIView):
    @extend_schema(operation_id="prices_delete", responses={204: None})
    def delete(self, request: Request, price_id: str) -> Response:
        """Take a price of the project away; costs computed with it stay."""
        prices.delete_price(caller=caller_of(request), public_id=price_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class SecretList(generics.ListAPIView[Secret]):
    """Names of the project's secrets; values are never shown."""

    queryset = Secret.objects.none()
    serializer_class = SecretShape
    filter_backends = ()

    def get_queryset(self):  # type: ignore[no-untyped-def]
        return selectors.secrets(caller=caller_of(self.request))

    @extend_schema(operation_id="secrets_create", request=SecretRequest, responses={201: SecretShape})
    def post(self, request: Request) -> Response:
        """Store a value under a new name. It is sealed and never shown again."""
        wanted = SecretRequest(data=request.data)
        wanted.is_valid(raise_exception=True)
        secret = secrets.create_secret(caller=caller_of(request), **wanted.validated_data)
        return Response(SecretShape(secret).data, status=status.HTTP_201_CREATED)


class SecretView(APIView):
    @extend_schema(operation_id="secrets_delete", responses={204: None})
    def delete(self, request: Request, secret_id: str) -> Response:
        """Remove a secret; arms that name it fail from now on, saying so."""
        secrets.delete_secret(caller=caller_of(request), public_id=secret_id)
        return Response(status=status.HTTP_204_NO_CONTENT)

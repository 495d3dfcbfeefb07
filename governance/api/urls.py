"""Routes of governance below /api/v1."""

from django.urls import URLPattern, path

from governance.api import audit, keys, members, projects, providers

urlpatterns: list[URLPattern] = [
    path("project", projects.ProjectView.as_view()),
    path("quotas", projects.QuotaList.as_view()),
    path("quotas/<str:resource>", projects.QuotaView.as_view()),
    path("usage", projects.UsageList.as_view()),
    path("keys", keys.KeyList.as_view()),
    path("keys/<str:key_id>", keys.KeyView.as_view()),
    path("members", members.MemberList.as_view()),
    path("members/<str:username>", members.MemberView.as_view()),
    path("providers/rules", providers.ProviderRuleList.as_view()),
    path("providers/rules/<str:rule_id>", providers.ProviderRuleView.as_view()),
    path("prices", providers.PriceList.as_view()),
    path("prices/<str:price_id>", providers.PriceView.as_view()),
    path("secrets", providers.SecretList.as_view()),
    path("secrets/<str:secret_id>", providers.SecretView.as_view()),
    path("audit", audit.EntryList.as_view()),
    path("audit/verifications", audit.VerificationList.as_view()),
    path("audit/verifications/<str:verification_id>", audit.VerificationView.as_view()),
]

from django.urls import path

from shop import views

urlpatterns = [
    path("", views.index),
    path("boom", views.boom),
    path("chained", views.chained),
    path("context", views.context),
    path("group", views.group),
    path("deep", views.deep),
    path("noisy", views.noisy),
    path("orders", views.orders),
]

"""Where the shop's pages are."""

from django.urls import path

from shop import views

urlpatterns = [
    path("", views.index),
    path("boom", views.boom),
    path("log", views.log),
]

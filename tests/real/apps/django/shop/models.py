"""The shop's only table."""

from django.db import models


class Order(models.Model):
    customer = models.CharField(max_length=80)
    placed = models.DateTimeField(auto_now_add=True)

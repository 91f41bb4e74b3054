"""A JumpCloud stand-in served on loopback, for the demo and the tests.

It answers the console API (V1 and V2), Directory Insights and the OAuth token route under one base
URL, out of a *world*: plain data that a test can read, replace and alter while it is being listed.
It follows the published specifications and recorded behaviour; where neither says anything, the
code says "inferred". It does not know the product, and the product does not know it.

Run it with ``python -m jumpcloud_sandbox``; drive it from tests with `jumpcloud_sandbox.client.Sandbox`.
"""

"""The five venues as strict local servers, for tests and for trying the gateway out.

Nothing of the gateway is imported here: signatures, tokens, parameters and limits are checked by code of their own, so
an error in a venue adapter cannot hide behind the same error in its judge.
"""

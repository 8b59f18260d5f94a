#!/bin/sh
# The sandbox's published accounts, into OpenBao. They open nothing but the sandbox.
set -eu
bao kv put secret/cancel-gateway/orderly/desk-a 'account_id=0xa1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1' 'private_key=ed25519:E5MUW8h22hU7oCPAhk6uUHCyqbjfzX4D39iiYUKP13aU'
bao kv put secret/cancel-gateway/orderly/desk-b 'account_id=0xb2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2' 'private_key=ed25519:AzGXJGuYGBVtPnnKrrpGQJoMLvFBe9jRRp15eXdkin3m'
bao kv put secret/cancel-gateway/hashkey/desk-a 'api_key=sandbox-hashkey-key-desk-a' 'secret=sandbox-hashkey-secret-desk-a'
bao kv put secret/cancel-gateway/hashkey/desk-b 'api_key=sandbox-hashkey-key-desk-b' 'secret=sandbox-hashkey-secret-desk-b'
bao kv put secret/cancel-gateway/loopring/desk-a 'account_id=10005' 'api_key=sandbox-loopring-key-desk-a' 'private_key=0x44ed94dbff58db1fbdfd7d9775406c64cf49b9a1bde3ff8042f43ca826d3aa5'
bao kv put secret/cancel-gateway/loopring/desk-b 'account_id=10006' 'api_key=sandbox-loopring-key-desk-b' 'private_key=0x39140a521837c06102fb5dde5b0989d5b240040da132b0d022bc7509741e2c2'
bao kv put secret/cancel-gateway/etna/desk-a 'account_id=6303' 'app_key=sandbox-etna-app-key' 'username=desk-a' 'password=sandbox-etna-password-desk-a'
bao kv put secret/cancel-gateway/etna/desk-b 'account_id=6304' 'app_key=sandbox-etna-app-key' 'username=desk-b' 'password=sandbox-etna-password-desk-b'
bao kv put secret/cancel-gateway/b2trader/desk-a 'account_id=64b0c0ffee64b0c0ffee0a0a' 'offline_token=sandbox-b2trader-offline-desk-a'
bao kv put secret/cancel-gateway/b2trader/desk-b 'account_id=64b0c0ffee64b0c0ffee0b0b' 'offline_token=sandbox-b2trader-offline-desk-b'

-- A page of a trail, and its head as it stood no later than the page.
-- KEYS: stream, head. ARGV: from (an id, '(' before it to exclude it, or '-'), count. Answers {head's fields, entries}.

return {
  redis.call('HMGET', KEYS[2], 'seq', 'hash'),
  redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', ARGV[2]),
}

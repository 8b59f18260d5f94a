-- One record, as it lies there; nothing where nobody could read it. KEYS: record.

local _, flat = read_record(KEYS[1])
return flat

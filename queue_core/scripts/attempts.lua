-- Shared by the scripts that need it: failures_in(attempts).
-- How many failed attempts a value of the processing hash holds; none where it is not ours to read.
local function failures_in(attempts)
  if not attempts then return 0 end
  local readable, list = pcall(cjson.decode, attempts)
  return readable and type(list) == 'table' and #list or 0
end


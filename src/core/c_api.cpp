// C ABI: to come.

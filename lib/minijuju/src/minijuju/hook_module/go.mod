module hookcommand

go 1.19

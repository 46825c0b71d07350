module orchard

go 1.19

require (
	github.com/rs/zerolog v1.29.1
	github.com/sirupsen/logrus v1.9.3
)

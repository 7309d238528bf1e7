package shoppers

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// product is one thing on sale. Money is in hundredths of whatever currency the shopper pays in.
type product struct {
	id, category string
	variants     int
	price        int
}

var categories = []string{
	"mugs", "bowls", "plates", "vases", "lamps", "chairs", "rugs", "posters", "cushions", "garden", "gifts", "küche",
}

const products = 600

// catalogue is the same in every run: most things cost little, a few cost much.
var catalogue = func() []product {
	rng := rand.New(rand.NewPCG(products, 1))
	list := make([]product, products)
	for i := range list {
		category := categories[rng.IntN(len(categories))]
		price := math.Exp(7.6 + 0.9*rng.NormFloat64()) // the middle one is about 20.00
		list[i] = product{
			id:       fmt.Sprintf("%s-%03d", category, i),
			category: category,
			variants: 1 + rng.IntN(5),
			price:    int(price)/100*100 + 99,
		}
	}
	return list
}()

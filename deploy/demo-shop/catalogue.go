package demoshop

import "slices"

// A Product is one page of the shop. Ids are what events carry; names are for people.
type Product struct {
	ID, Name, Category string
	Line               string // one line below the name, on cards and pages
	Story              string
	Facts              []Fact
	Choice             string // what the variants differ in: "Glaze", "Colour"
	Variants           []Variant
}

// A Fact is one row of the product's table of details.
type Fact struct{ Name, Value string }

// A Variant is what lies in the cart: a product in one finish, with its own price and picture.
type Variant struct {
	ID, Name string
	Price    Money
	Tint     Tint
}

// A Tint colours a product's picture (pictures/*.svg). All are CSS colours.
type Tint struct{ Base, Light, Deep, Wall, Floor string }

// A Category is a page that lists products.
type Category struct{ ID, Name, Line string }

var categories = []Category{
	{"ceramics", "Ceramics", "Stoneware thrown, glazed and fired in one small room by the water."},
	{"coffee", "Coffee", "Everything between a cold kitchen and the first warm sip."},
	{"outdoors", "Outdoors", "Light and warmth for evenings that run late."},
}

var catalogue = []Product{
	{
		ID: "harbour-mug", Name: "Harbour Mug", Category: "ceramics", Choice: "Glaze",
		Line:  "A heavy-bottomed mug that keeps its warmth",
		Story: "Thrown by hand from speckled stoneware and left unglazed at the foot, so that it sits quietly on wood. The handle takes three fingers, the rim is thin, and no two are quite alike.",
		Facts: []Fact{{"Holds", "350 ml"}, {"Made of", "Stoneware, fired at 1,240 °C"}, {"Care", "Dishwasher and microwave"}},
		Variants: []Variant{
			{"oat", "Oat", 2800, Tint{"#e7dcc8", "#f8f1e3", "#bfae92", "#c9d3cc", "#b08a66"}},
			{"lake", "Lake", 2800, Tint{"#4f7480", "#7fa3ab", "#2f4e59", "#ecdfc9", "#b58d68"}},
			{"moss", "Moss", 2800, Tint{"#77805a", "#a3aa83", "#50583a", "#efe0cd", "#a98161"}},
		},
	},
	{
		ID: "ridge-dripper", Name: "Ridge Dripper", Category: "ceramics", Choice: "Glaze",
		Line:  "A pour-over cone with twelve patient ribs",
		Story: "Twelve ribs hold the paper away from the wall, so that water takes its time. It fits any mug and most jugs, and the wide collar keeps your fingers cool.",
		Facts: []Fact{{"Brews", "1 to 3 cups"}, {"Filter", "Cone, size 02"}, {"Made of", "Stoneware, glazed inside and out"}},
		Variants: []Variant{
			{"chalk", "Chalk", 3800, Tint{"#eee9df", "#ffffff", "#c4bcac", "#d8b79c", "#8d6249"}},
			{"clay", "Clay", 3800, Tint{"#c07a55", "#dfa281", "#8d5235", "#dfe3d6", "#a3805f"}},
		},
	},
	{
		ID: "dawn-kettle", Name: "Dawn Kettle", Category: "coffee", Choice: "Finish",
		Line:  "A gooseneck kettle with a steady hand",
		Story: "A narrow neck, a low centre of weight and a beech handle: the pour starts where you point it and stops when you do. Works on gas, induction and a camp stove.",
		Facts: []Fact{{"Holds", "900 ml"}, {"Made of", "Steel and oiled beech"}, {"Heats on", "Gas, induction, open fire"}},
		Variants: []Variant{
			{"ink", "Ink", 8900, Tint{"#35424a", "#6d7f89", "#1b252b", "#efd9bd", "#bd9470"}},
			{"cream", "Cream", 8900, Tint{"#efe4cf", "#fffaf0", "#c5b595", "#a9bcb6", "#96704f"}},
			{"copper", "Copper", 11900, Tint{"#bf7446", "#eab48b", "#80431f", "#dce4e3", "#8b7565"}},
		},
	},
	{
		ID: "first-light-coffee", Name: "First Light Coffee", Category: "coffee", Choice: "Bag",
		Line:  "Medium roast: hazelnut, dried apricot, honey",
		Story: "Washed beans from two small farms, roasted on Tuesdays and sent on Wednesdays. Sweet enough to drink black, round enough for milk.",
		Facts: []Fact{{"From", "Huila, Colombia, and Sidama, Ethiopia"}, {"Roast", "Medium, each Tuesday"}, {"Best within", "Six weeks"}},
		Variants: []Variant{
			{"beans-250", "Beans, 250 g", 1450, Tint{"#c69c6d", "#ddba91", "#94703f", "#dfe6e0", "#7c5b43"}},
			{"filter-250", "Filter grind, 250 g", 1450, Tint{"#5f7d79", "#87a19b", "#3d5855", "#f0dfc8", "#8a654a"}},
			{"beans-1000", "Beans, 1 kg", 4600, Tint{"#3b3a3c", "#626064", "#222123", "#e9d2b4", "#96714f"}},
		},
	},
	{
		ID: "ember-lantern", Name: "Ember Lantern", Category: "outdoors", Choice: "Colour",
		Line:  "Warm light that lasts from dusk to breakfast",
		Story: "A dimmable flame behind hand-blown glass: no smoke, no flicker, sixty hours a charge. Hang it from a branch or leave it on the table; it knows how to behave in company.",
		Facts: []Fact{{"Lasts", "60 h dimmed, 9 h bright"}, {"Charges", "USB-C, 2 h"}, {"Keeps out", "Rain and dust (IP54)"}},
		Variants: []Variant{
			{"pine", "Pine", 6400, Tint{"#3f5a4c", "#6f8d7c", "#263a30", "#22364a", "#121d29"}},
			{"rust", "Rust", 6400, Tint{"#a9512f", "#d4835e", "#6f2f18", "#2c3450", "#151a2b"}},
		},
	},
	{
		ID: "drift-blanket", Name: "Drift Blanket", Category: "outdoors", Choice: "Colour",
		Line:  "Lambswool, woven thick enough for a porch",
		Story: "Woven in a mill that has done little else since 1908, washed soft, finished with a hand-tied fringe and a leather strap to carry it by. Wool does not mind sparks, dogs or dew.",
		Facts: []Fact{{"Size", "140 × 200 cm"}, {"Made of", "Lambswool, undyed base"}, {"Care", "Air it; wash by hand, cold"}},
		Variants: []Variant{
			{"heather", "Heather", 11800, Tint{"#8d7f98", "#b7abbf", "#5f5369", "#e8e0d2", "#b3926f"}},
			{"dusk", "Dusk", 11800, Tint{"#3f5f7a", "#7797ad", "#28415a", "#efdcc6", "#a98560"}},
			{"barley", "Barley", 11800, Tint{"#d3a95f", "#ebcd96", "#9b7632", "#cfdad6", "#94735a"}},
		},
	},
}

// From is the lowest price among the variants.
func (p *Product) From() Money {
	low := p.Variants[0].Price
	for _, v := range p.Variants[1:] {
		low = min(low, v.Price)
	}
	return low
}

// OnePrice reports whether all variants cost the same.
func (p *Product) OnePrice() bool {
	return !slices.ContainsFunc(p.Variants, func(v Variant) bool { return v.Price != p.From() })
}

// Variant returns the variant with that id, or nil.
func (p *Product) Variant(id string) *Variant {
	i := slices.IndexFunc(p.Variants, func(v Variant) bool { return v.ID == id })
	if i < 0 {
		return nil
	}
	return &p.Variants[i]
}

// findProduct returns the product with that id, or nil.
func findProduct(id string) *Product {
	i := slices.IndexFunc(catalogue, func(p Product) bool { return p.ID == id })
	if i < 0 {
		return nil
	}
	return &catalogue[i]
}

// findCategory returns the category with that id, or nil.
func findCategory(id string) *Category {
	i := slices.IndexFunc(categories, func(c Category) bool { return c.ID == id })
	if i < 0 {
		return nil
	}
	return &categories[i]
}

// inCategory lists the products of a category in the catalogue's order.
func inCategory(id string) []*Product {
	var found []*Product
	for i := range catalogue {
		if catalogue[i].Category == id {
			found = append(found, &catalogue[i])
		}
	}
	return found
}

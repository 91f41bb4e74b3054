"""Words that every floor speaks. Knows neither HTTP, nor folders of landing, nor SQL."""

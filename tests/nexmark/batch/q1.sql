SELECT auction, bidder, price * 908 / 1000.0 AS euros, "dateTime", extra FROM bid

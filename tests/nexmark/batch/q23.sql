SELECT b.bidder, b.price, b.channel, b.url, b.extra,
  p.id, p.name, p."emailAddress", p."creditCard", p.city, p.state, p.extra AS person_extra,
  a."itemName", a.description, a."initialBid", a.reserve, a."dateTime", a.expires, a.seller, a.category,
  a.extra AS auction_extra
FROM person AS p JOIN auction AS a ON p.id = a.seller JOIN bid AS b ON p.id = b.bidder

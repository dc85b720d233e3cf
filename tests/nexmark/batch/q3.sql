SELECT p.name, p.city, p.state, a.id
FROM person AS p JOIN auction AS a ON p.id = a.seller
WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')

-- The transaction's id tells later whether it was committed, should nobody be left to say so.
select {powa}.powa_take_snapshot($1), pg_catalog.txid_current()

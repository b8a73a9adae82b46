-- What messages are filed under: ' invoices urgent ', a space around each; '' without any. Who asks for one walks their own inbox, as for a category.
ALTER TABLE notification ADD COLUMN tags TEXT NOT NULL DEFAULT '';

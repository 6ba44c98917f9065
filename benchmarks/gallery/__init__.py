"""The gallery: a table of pictures, each with what makes it, from which docs/gallery.md and its pictures are made.

`items` is the table. `digits` draws from trained runs and `mixture` in closed form, one short function a picture;
`page` writes the page. To add a picture, add its row, and its function where no command draws it.
"""

"""Settings of Sphinx: `make docs` builds these pages and the reference of the Python API."""
import os
import re
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
#: Files of the repository that are pages of the site too, by their paths in the repository.
PAGES = {'README.md': 'index.md', 'CONTRIBUTING.md': 'contributing.md', 'CHANGELOG.md': 'changelog.md',
         'configs/nasfpn/README.md': 'configs.md',
         'docs/search.md': 'architecture_search.md'}  # Sphinx has a page search.html of its own

project = 'mmnasfpn'
author = copyright = 'The mmnasfpn contributors'
release = version = re.search(r"'(.+)'", (REPOSITORY / 'mmnasfpn/version.py').read_text()).group(1)

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.viewcode']
exclude_patterns = ['_build', 'search.md']
highlight_language = 'none'  # of blocks that do not name theirs
html_theme = 'furo'
html_title = f'mmnasfpn {version}'
html_static_path = ['_static']
html_css_files = ['site.css']

myst_enable_extensions = ['html_image']
myst_heading_anchors = 4  # as GitHub's, so that one link works in both places

autodoc_default_options = {'members': True, 'show-inheritance': True}
autodoc_member_order = 'bysource'
autodoc_preserve_defaults = True
autodoc_typehints = 'none'  # the docstrings say it
if os.environ.get('READTHEDOCS'):
    autodoc_mock_imports = ['mmcv._ext']  # the compiled operators

# A reference to something of this package must resolve; other packages' are not looked up.
nitpicky = True
nitpick_ignore_regex = [('py:.*', r'(?!mmnasfpn\b).*')]


def relink(text: str, folder: Path) -> str:
    """Make the links of a page in some folder relative to docs/, and lead them to pages of the site."""
    def relinked(match: re.Match) -> str:
        path = os.path.relpath(folder / match['path'], REPOSITORY)
        path = PAGES.get(path, os.path.relpath(REPOSITORY / path, REPOSITORY / 'docs'))
        return match['before'] + path + match['after']

    return re.sub(r'(?P<before>\]\(|src=")(?P<path>[^#)":\s]+)(?P<after>[#)"])', relinked, text)


def setup(app) -> None:
    """Relink pages as they are read, and the files of the repository that they include."""
    def page(app, docname, source):
        path = app.env.doc2path(docname)
        if path.suffix == '.md' and path.parent == REPOSITORY / 'docs':
            source[0] = relink(source[0], path.parent)

    def included(app, path, docname, content):
        content[0] = relink(content[0], (REPOSITORY / 'docs' / path).resolve().parent)

    app.connect('source-read', page)
    app.connect('include-read', included)

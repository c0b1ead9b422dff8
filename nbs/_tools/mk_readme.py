"README.md from nbs/index.ipynb without Quarto: python mk_readme.py [--check]"
import sys,re
from pathlib import Path
from nbdev.config import get_config
from nbdev.processors import FilterDefaults
from execnb.nbio import read_nb

def cell2md(c):
    src=''.join(c.source).strip()
    if c.cell_type=='raw': return ''
    if c.cell_type=='markdown': return src
    opts=dict(re.findall(r'^#\|\s*([\w-]+):\s*(\S+)',src,re.M)); src=re.sub(r'^#\|.*\n?','',src,flags=re.M).strip()
    res=[] if opts.get('echo')=='false' or not src else [f'```python\n{src}\n```']
    for o in c.get('outputs',[]):
        d=o.get('data',{}); txt=o.get('text') or d.get('text/markdown') or d.get('text/plain')
        if not txt: continue
        txt=''.join(txt).rstrip()
        res.append(txt if 'text/markdown' in d else '\n'.join('    '+l for l in txt.splitlines()))
    return '\n\n'.join(res)

def readme():
    cfg=get_config(); nb=read_nb(cfg.nbs_path/cfg.readme_nb)
    title=next(c.source for c in nb.cells if c.cell_type=='markdown').splitlines()
    FilterDefaults()(nb)
    fm=nb.frontmatter_
    body=[cell2md(c) for c in nb.cells]
    head=[f"# {fm['title']}", f"> {fm['description']}" if 'description' in fm else '']
    text='\n\n'.join(o for o in head+body if o)+'\n'
    raw=cfg.git_url.replace('github.com','raw.githubusercontent.com')+'/'+cfg.branch  # PyPI shows README too, far from these files
    return re.sub(r'\]\((figures/|loss\.png)', lambda m: f"]({raw}/{'nbs/' if '/' in m[1] else ''}{m[1]}", text)

if __name__=='__main__':
    p=get_config().config_path/'README.md'; txt=readme()
    if '--check' in sys.argv: sys.exit(0 if p.read_text()==txt else 'README.md is stale: run mk_readme.py')
    p.write_text(txt)

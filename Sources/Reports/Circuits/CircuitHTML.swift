import FileFormats

extension CircuitPicture {
  /// A self-contained page: the circuit, a slider that hides weak nodes and edges, numbers on hover, the table of
  /// nodes and the faithfulness curve. It loads nothing from anywhere.
  public func html() -> String {
    var rows = ""
    let order = nodes.indices.sorted { nodes[$0].score.magnitude > nodes[$1].score.magnitude }
    for index in order {
      let node = nodes[index]
      let word = node.position.map { $0 < tokens.count ? tokens[$0] : "" } ?? "all"
      let name = node.position.flatMap { positionNames[$0] } ?? ""
      rows += "<tr data-i=\"\(index)\"><td>\(node.name)</td><td>\(MarkupText.xml(word))</td>"
      rows += "<td>\(MarkupText.xml(name))</td>"
      rows += "<td class=\"n \(node.score < 0 ? "neg" : "pos")\">\(Markup.score(node.score))</td></tr>\n"
    }
    var figures = ""
    if let faithfulness {
      figures +=
        "<p class=\"figure\">F = <b>\(Markup.score(faithfulness))</b> with \(nodes.count) nodes</p>\n"
    }
    for note in notes { figures += "<p class=\"note\">\(MarkupText.xml(note))</p>\n" }
    let curvePart = curve.isEmpty && randomCurve.isEmpty ? "" : curveSVG()
    return """
      <!doctype html>
      <html lang="en">
      <head>
      <meta charset="utf-8">
      <meta name="viewport" content="width=device-width, initial-scale=1">
      <title>\(MarkupText.xml(title))</title>
      <style>\(CircuitPicture.style)</style>
      </head>
      <body>
      <header><h1>\(MarkupText.xml(title))</h1><p>\(MarkupText.xml(subtitle))</p></header>
      <main>
      <section class="graph">
      <div class="controls">
      <label for="threshold">Hide below <output id="shown">0 %</output> of the largest score</label>
      <input id="threshold" type="range" min="0" max="100" value="0" step="1">
      <span id="count" aria-live="polite"></span>
      <span class="legend"><i class="swatch p"></i>supports <i class="swatch m"></i>opposes</span>
      </div>
      <div class="canvas">\(drawing(standalone: false))</div>
      </section>
      <aside>
      \(figures)\(curvePart)
      <div class="table"><table>
      <thead><tr><th>node</th><th>word</th><th>place</th><th class="n">score</th></tr></thead>
      <tbody>
      \(rows)</tbody>
      </table></div>
      </aside>
      </main>
      <div id="tip" role="status" hidden></div>
      <script>\(CircuitPicture.script)</script>
      </body>
      </html>

      """
  }

  static let style = """
    :root{color-scheme:light}
    *{box-sizing:border-box}
    body{margin:0;font:14px/1.45 system-ui,'DejaVu Sans',sans-serif;color:#1a1a1a;background:#fff}
    header{padding:14px 20px 4px}h1{font-size:19px;margin:0}header p{margin:2px 0 0;color:#555}
    main{display:flex;flex-wrap:wrap;gap:20px;padding:10px 20px 24px;align-items:flex-start}
    .graph{flex:1 1 560px;min-width:0}
    .canvas{overflow-x:auto;border:1px solid #e3e3e3;border-radius:8px;padding:4px;max-width:100%}
    .canvas svg{display:block;max-width:100%;height:auto;margin:auto}
    .controls{display:flex;flex-wrap:wrap;gap:6px 14px;align-items:center;margin:0 0 8px;color:#444}
    .controls input{width:200px}
    .legend{margin-left:auto;white-space:nowrap}
    .swatch{display:inline-block;width:12px;height:12px;border-radius:6px;margin:0 4px 0 8px;vertical-align:-1px}
    .swatch.p{background:#2166ac}.swatch.m{background:#cb181d}
    aside{flex:0 1 380px;min-width:280px}
    aside svg{max-width:100%;height:auto}
    .figure{font-size:16px;margin:2px 0 8px}.note{margin:2px 0;color:#555}
    .table{max-height:420px;overflow:auto;border:1px solid #e3e3e3;border-radius:8px;margin-top:10px}
    table{border-collapse:collapse;width:100%}
    th,td{text-align:left;padding:3px 10px;border-bottom:1px solid #f0f0f0}
    th{position:sticky;top:0;background:#fafafa;font-weight:600}
    .n{text-align:right;font-variant-numeric:tabular-nums}
    .pos{color:#2166ac}.neg{color:#b2182b}
    .node,.edge,tbody tr{transition:opacity .12s}
    .off{opacity:.06;pointer-events:none}tr.off{opacity:.25}
    .node{cursor:pointer}.lit circle{stroke:#d95f02;stroke-width:3}
    tr.lit{background:#fff3e8}
    #tip{position:fixed;z-index:9;background:#1a1a1a;color:#fff;padding:6px 9px;border-radius:6px;font-size:12px;
    white-space:pre-line;pointer-events:none;max-width:300px}
    """

  /// Threshold, hover and the link between table and drawing. The `<title>` elements stay as the fallback.
  static let script = """
    'use strict';
    (function(){
    const q=s=>Array.from(document.querySelectorAll(s)),nodes=q('.node'),edges=q('.edge'),rows=q('tbody tr');
    const byIndex={};nodes.forEach(n=>byIndex[n.dataset.i]=n);
    const rowOf={};rows.forEach(r=>rowOf[r.dataset.i]=r);
    const slider=document.getElementById('threshold'),tip=document.getElementById('tip');
    function apply(){
      const t=slider.value/100;document.getElementById('shown').textContent=slider.value+' %';
      let kept=0;const off={};
      nodes.forEach(n=>{const o=+n.dataset.f<t;off[n.dataset.i]=o;if(!o)kept++;n.classList.toggle('off',o);
        if(rowOf[n.dataset.i])rowOf[n.dataset.i].classList.toggle('off',o)});
      edges.forEach(e=>e.classList.toggle('off',+e.dataset.f<t||off[e.dataset.a]||(e.dataset.b!==''&&off[e.dataset.b])));
      document.getElementById('count').textContent=kept+' of '+nodes.length+' nodes';
    }
    function show(text,x,y){tip.textContent=text;tip.hidden=false;
      const w=tip.offsetWidth,h=tip.offsetHeight;
      tip.style.left=Math.max(4,Math.min(innerWidth-w-4,x+14))+'px';
      tip.style.top=Math.max(4,y+18+h>innerHeight?y-h-8:y+18)+'px'}
    function light(i,on){if(byIndex[i])byIndex[i].classList.toggle('lit',on);
      if(rowOf[i])rowOf[i].classList.toggle('lit',on)}
    nodes.concat(edges).forEach(m=>{
      const title=m.querySelector('title'),text=title.textContent;title.remove();
      m.setAttribute('aria-label',text);
      m.addEventListener('pointermove',e=>show(text,e.clientX,e.clientY));
      m.addEventListener('pointerenter',()=>{if(m.dataset.i!==undefined)light(m.dataset.i,true)});
      m.addEventListener('pointerleave',()=>{tip.hidden=true;if(m.dataset.i!==undefined)light(m.dataset.i,false)});
    });
    rows.forEach(r=>{r.addEventListener('pointerenter',()=>light(r.dataset.i,true));
      r.addEventListener('pointerleave',()=>light(r.dataset.i,false))});
    slider.addEventListener('input',apply);apply();
    })();
    """
}

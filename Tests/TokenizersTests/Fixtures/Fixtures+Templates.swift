// Written by scripts/tokenizer_fixtures.py; do not edit.
extension Fixtures {
  /// Templates with every supported tag, filter, test and method (jinja2).
  static let templates = #"""
    {"values":{"items":["a","b","c"],"a":1,"none_value":null,"map":{"k":"v","j":2},"deep":{"a":{
    "b":[{"c":"deep"}]}},"user":" <|a|> text ","recs":[{"n":"x","r":1,"t":true},{"n":"y","r":2
    ,"t":false},{"n":"z","r":1,"t":0}],"mixed":{"b":1,"A":2,"c":3}},"time":1732368000,"cases":[{
    "name":"for","template":
    "{% for x in items %}{{ loop.index }}/{{ loop.length }}:{{ x }}{% if not loop.last %},{% endif %}{% else %}none{% endfor %}"
    ,"expected":"1/3:a,2/3:b,3/3:c"},{"name":"for if","template":
    "{% for x in items if x != 'b' %}{{ loop.index0 }}{{ x }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }} {% endfor %}"
    ,"expected":"0a21True 1c10False "},{"name":"for else","template":
    "{% for x in [] %}x{% else %}empty{% endfor %}","expected":"empty"},{"name":"for tuple"
    ,"template":
    "{% for k, v in map.items() %}{{ k }}={{ v }};{% endfor %}{% for k in map %}{{ k }}{% endfor %}"
    ,"expected":"k=v;j=2;kj"},{"name":"for previous","template":
    "{% for x in items %}[{{ loop.previtem }}|{{ loop.nextitem }}|{{ loop.cycle('x','y') }}]{% endfor %}"
    ,"expected":"[|b|x][a|c|y][b||x]"},{"name":"nested for","template":
    "{% for x in items %}{% for y in items %}{% if y == x %}{% break %}{% endif %}{{ y }}{{ loop.depth }}{% endfor %};{% endfor %}"
    ,"expected":";a1;a1b1;"},{"name":"break continue","template":
    "{% for x in range(10) %}{% if x == 2 %}{% continue %}{% endif %}{% if x > 4 %}{% break %}{% endif %}{{ x }}{% endfor %}"
    ,"expected":"0134"},{"name":"if","template":
    "{% if a == 1 %}one{% elif a == 2 %}two{% else %}other{% endif %}{% if none_value %}x{% endif %}"
    ,"expected":"one"},{"name":"set","template":
    "{% set x = 5 %}{% for i in range(2) %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}{% set a, b = 1, 2 %}{{ a + b }}"
    ,"expected":"5653"},{"name":"set block","template":
    "{% set x %}a{{ 1 }}b{% endset %}[{{ x }}]{% set y | upper | trim %} abc {% endset %}[{{ y }}]"
    ,"expected":"[a1b][ABC]"},{"name":"namespace","template":
    "{% set ns = namespace(n=0, found=false) %}{% for x in items %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}{{ ns.found }}"
    ,"expected":"3False"},{"name":"macro","template":
    "{% macro m(a, b='d', c=none) %}<{{ a }}{{ b }}{{ c }}>{% endmacro %}{{ m(1) }}{{ m(1, c=2) }}{{ m('x', 'y', 'z') }}"
    ,"expected":"<1dNone><1d2><xyz>"},{"name":"macro recursion","template":
    "{% macro m(n) %}{{ n }}{% if n > 0 %}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(5) }}"
    ,"expected":"543210"},{"name":"filter block","template":
    "{% filter upper | replace('A', '-') %}abc {{ user }}{% endfilter %}","expected":
    "-BC  <|-|> TEXT "},{"name":"generation","template":
    "x{% generation %} {{ user }} {% endgeneration %}y","expected":"x  <|a|> text  y"},{"name":
    "raw","template":"{% raw %}{{ not }} {% this %}{% endraw %}!","expected":
    "{{ not }} {% this %}!"},{"name":"comment","template":"a{# comment {{ x }} #}b{#- c -#} d"
    ,"expected":"abd"},{"name":"whitespace","template":
    "a  {%- if true %}  b  {% endif -%}  c\n  {% if true %}\n    d\n  {% endif %}\ne {{- 1 -}} f\n"
    ,"expected":"a  b  c\n    d\ne1f"},{"name":"lstrip","template":
    "  {% set x = 1 %}\n\t{# c #}\n  {{ x }}\n{%+ if true %} y{% endif +%}\n z","expected":
    "  1\n y\n z"},{"name":"strings","template":
    "{{ 'it\\'s' }}{{ \"a\\nb\" }}{{ '\\u00e9' }}{{ 'a' 'b' }}{{ 'x' ~ 1 ~ none ~ true ~ 1.5 }}"
    ,"expected":"it'sa\nb\u00e9abx1NoneTrue1.5"},{"name":"arithmetic","template":
    "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1 + 2 * 3 }} {{ 'ab' * 3 }} {{ 1.5 + 1 }} {{ 10 / 5 }}"
    ,"expected":"3 -4 1 2 3.5 1024 7 ababab 2.5 2.0"},{"name":"comparison","template":
    "{{ 1 < 2 < 3 }} {{ 1 == 1.0 }} {{ 'a' < 'b' }} {{ 'a' in 'cat' }} {{ 'z' not in items }} {{ 'k' in map }} {{ 1 != 2 }} {{ true == 1 }}"
    ,"expected":"True True True True True True True True"},{"name":"logic","template":
    "{{ 0 or 'x' }} {{ 1 and 'y' }} {{ not 0 }} {{ '' or none }} {{ not 1 in [1] }}","expected":
    "x y True None False"},{"name":"ternary","template":
    "{{ 'a' if a == 1 else 'b' }}{{ 'x' if false }}{{ 1 if true else 2 if true else 3 }}"
    ,"expected":"a1"},{"name":"slices","template":
    "{{ items[1:] }}{{ items[:-1] }}{{ items[::-1] }}{{ 'hello'[1:3] }}{{ items[-1] }}{{ 'hello'[0] }}{{ items[5:] }}{{ 'hello'[::2] }}"
    ,"expected":"['b', 'c']['a', 'b']['c', 'b', 'a']elch[]hlo"},{"name":"literals","template":
    "{{ [1, 'a', none, true, 1.0] }}{{ {'k': [1], 'q': \"it's\"} }}{{ (1, 2)[0] }}{{ {1: 'one'}[1] }}"
    ,"expected":"[1, 'a', None, True, 1.0]{'k': [1], 'q': \"it's\"}1one"},{"name":"access"
    ,"template":
    "{{ map.k }}{{ map['k'] }}{{ map.missing }}{{ map.missing is defined }}{{ deep.a.b[0].c }}"
    ,"expected":"vvFalsedeep"},{"name":"tests","template":
    "{{ a is defined }}{{ zz is undefined }}{{ none_value is none }}{{ a is number }}{{ 'x' is string }}{{ map is mapping }}{{ items is sequence }}{{ items is iterable }}{{ true is boolean }}{{ true is true }}{{ false is false }}{{ 1 is not none }}{{ 3 is odd }}{{ 4 is even }}{{ 9 is divisibleby 3 }}{{ 1 is integer }}{{ 1.0 is float }}{{ 'a' is equalto 'a' }}{{ 'a' is in items }}{{ 'a' is lower }}"
    ,"expected":"TrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrueTrue"
    },{"name":"filters 1","template":
    "{{ map | tojson }}|{{ items | length }}|{{ '  x ' | trim }}|{{ 1 | string }}|{{ zz | default('d') }}|{{ '' | default('d', true) }}|{{ items | join('-') }}|{{ map | items | list }}|{{ 'abc' | list }}"
    ,"expected":"{\"k\": \"v\", \"j\": 2}|3|x|1|d|d|a-b-c|[('k', 'v'), ('j', 2)]|['a', 'b', 'c']"}
    ,{"name":"filters 2","template":
    "{{ recs | selectattr('r', 'equalto', 1) | map(attribute='n') | list }}|{{ recs | rejectattr('r', 'equalto', 1) | list | length }}|{{ recs | selectattr('t') | list | length }}|{{ items | reject('equalto', 'a') | list }}|{{ items | select('in', ['a', 'c']) | list }}"
    ,"expected":"['x', 'z']|1|1|['b', 'c']|['a', 'c']"},{"name":"filters 3","template":
    "{{ mixed | dictsort }}|{{ 'ABC' | lower }}|{{ 'abc' | upper }}|{{ items | map('upper') | join }}|{{ 'aXbX' | replace('X', '.') }}|{{ [3, 1, 2] | min }}|{{ [3, 1, 2] | sort }}|{{ [3, 1, 2] | sort(reverse=true) }}|{{ [1, 2, 1] | unique | list }}|{{ ' 42 ' | int }}|{{ 'x' | int(7) }}|{{ '1.5' | float }}"
    ,"expected":
    "[('A', 2), ('b', 1), ('c', 3)]|abc|ABC|ABC|a.b.|1|[1, 2, 3]|[3, 2, 1]|[1, 2]|42|7|1.5"},{
    "name":"filters 4","template":
    "{{ 'a\nb\n\nc' | indent(2) }}|{{ 'a\nb' | indent(2, true) }}|{{ [1, 2, 3] | sum }}|{{ items | first }}{{ items | last }}|{{ items | reverse | list }}|{{ 'hello world' | title }}|{{ 'hello' | capitalize }}|{{ -3 | abs }}|{{ 3.7 | round }}|{{ 3.14159 | round(2) }}|{{ '[1, {\"a\": null}]' | from_json }}"
    ,"expected":
    "a\n  b\n\n  c|  a\n  b|6|ac|['c', 'b', 'a']|Hello World|Hello|3|4.0|3.14|[1, {'a': None}]"},{
    "name":"tojson","template":
    "{{ deep | tojson(indent=2) }}{{ user | tojson }}{{ {'b': 1, 'a': [true, none, 1.5]} | tojson(sort_keys=true, separators=(',', ':')) }}{{ [] | tojson(indent=2) }}{{ '\u00e9\\u0001' | tojson }}"
    ,"expected":
    "{\n  \"a\": {\n    \"b\": [\n      {\n        \"c\": \"deep\"\n      }\n    ]\n  }\n}\" <|a|> text \"{\"a\":[true,null,1.5],\"b\":1}[]\"\u00e9\\u0001\""
    },{"name":"methods","template":
    "{{ 'a,b,c'.split(',') }}{{ 'a b  c'.split() }}{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' x '.strip() }}|{{ ' x '.lstrip() }}|{{ ' x '.rstrip() }}|{{ 'xxaxx'.strip('x') }}{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x', 'c')) }}{{ 'aa'.replace('a', 'b') }}{{ 'a'.upper() }}{{ 'A'.lower() }}{{ 'ab cd'.title() }}"
    ,"expected":"['a', 'b', 'c']['a', 'b', 'c']['a', 'b,c']['a,b', 'c']x|x | x|aTrueTruebbAaAb Cd"
    },{"name":"methods 2","template":
    "{{ map.get('k') }}{{ map.get('z') }}{{ map.get('z', 'd') }}{{ map.keys() | list }}{{ map.values() | list }}{{ 'abcabc'.find('c') }}{{ 'abcabc'.count('bc') }}{{ '-'.join(items) }}{{ 'a\nb'.splitlines() }}{{ '{}-{}'.format(1, 'x') }}{{ '12'.isdigit() }}"
    ,"expected":"vNoned['k', 'j']['v', 2]22a-b-c['a', 'b']1-xTrue"},{"name":"dates","template":
    "{{ strftime_now('%Y-%m-%d') }} {{ strftime_now('%d %b %Y') }}","expected":
    "2024-11-23 23 Nov 2024"},{"name":"provenance","template":
    "<|a|>{{ user | trim }}<|b|>{{ user | upper }}{{ 'x' }}{{ [user, 'y'] | join('/') }}"
    ,"expected":"<|a|><|a|> text<|b|> <|A|> TEXT x <|a|> text /y"},{"name":"raise","template":
    "{{ raise_exception('no ' ~ user) }}","expected":null},{"name":"undefined attribute"
    ,"template":"{{ zz.x }}","expected":null},{"name":"undefined call","template":"{{ zz() }}"
    ,"expected":null},{"name":"bad types","template":"{{ 1 + 'a' }}","expected":null},{"name":
    "division","template":"{{ 1 // 0 }}","expected":null},{"name":"unclosed","template":
    "{% if a %}x","expected":null},{"name":"unknown tag","template":"{% frobnicate %}","expected":
    null},{"name":"bad expression","template":"{{ 1 + }}","expected":null}]}
    """#
}

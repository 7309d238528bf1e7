function r({site:e,endpoint:o,debug:t}){t(`site ${e}, endpoint ${o||"/"}`)}export{r as default};

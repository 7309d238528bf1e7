package site
import ("testing";"os")
func TestX(t *testing.T){
 b,_:=os.ReadFile("../../deploy/sites.example.yaml")
 f,err:=Parse("sites.yaml",b)
 if err!=nil{t.Fatal(err)}
 for _,o:=range f.Sites[0].Offers{ t.Logf("%+v",*o); if o.When!=""{t.Log(o.WhenFault(1,0,"x"),o.WhenFault(2,3,"y"),o.WhenFault(9,9,"y"))}}
}
